// Boost.JSON compiled into the target, in place of the shared library, so that
// the fuzzer sees its branches and the sanitizers its memory.
#include <boost/json/src.hpp>
