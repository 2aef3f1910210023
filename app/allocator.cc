#include "app/allocator.h"

#include <malloc.h>

#include <cstddef>

// jemalloc's, where it is linked (jemalloc(3), MALLCTL NAMESPACE).
extern "C" int mallctl(const char* name, void* old, std::size_t* old_size, void* value,
                       std::size_t size) __attribute__((weak));

namespace herald {

void ReturnFreeMemory() {
  if (mallctl == nullptr) {
    malloc_trim(0);
    return;
  }
  mallctl("arena.4096.purge", nullptr, nullptr, nullptr, 0);  // MALLCTL_ARENAS_ALL
}

}  // namespace herald
