#pragma once

#include <cstdint>

namespace herald {

// What the operating system and the container grant this process.

// Raises the soft limit of open files to the hard one and returns it (getrlimit(2)).
std::uint64_t RaiseOpenFilesLimit();

}  // namespace herald
