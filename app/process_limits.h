#pragma once

#include <cstdint>

namespace herald {

// What the operating system and the container grant this process.

// Raises the soft limit of open files to the hard one and returns it (getrlimit(2)).
std::uint64_t RaiseOpenFilesLimit();

// Client sessions that `open_files` descriptors carry: some are kept for producers, key files and
// listeners.
std::uint64_t SessionsFor(std::uint64_t open_files);

}  // namespace herald
