#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace herald {

// Unguessable bytes from OpenSSL's generator, which the kernel's seeds, drawn in blocks of 4 KiB a
// thread: the kernel's own costs ten times as much a byte. Aborts if there are none.
// Threads: any.
void RandomBytes(std::span<std::uint8_t> out);
std::uint64_t RandomUint64();

// Makes `id` a new message id: 48 bits of milliseconds, then 80 random bits, as 32 hex digits. Sorts
// by time, as UUID version 7 does (RFC 9562 §5.7).
void MakeMessageId(std::int64_t unix_ms, std::string& id);

}  // namespace herald
