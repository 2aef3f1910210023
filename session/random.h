#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace herald {

// Unguessable bytes from the kernel's generator (getrandom(2)), drawn in blocks of
// 4 KiB a thread so that an id costs no system call. Aborts if the kernel refuses.
// Threads: any.
void RandomBytes(std::span<std::uint8_t> out);
std::uint64_t RandomUint64();

// A message id: 48 bits of milliseconds, then 80 random bits, as 32 hex digits. Sorts
// by time, as UUID version 7 does (RFC 9562 §5.7).
std::string NewMessageId(std::int64_t unix_ms);

}  // namespace herald
