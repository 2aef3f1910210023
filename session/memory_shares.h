// How max_memory_bytes is divided: the one table of shares.
//
// Threads:   plain values.
// Limits:    each account stays below its share, but `other`, which is only watched.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace herald {

// What memory is held for. The names are those of the metrics' label `account`.
enum class MemoryAccount : std::uint8_t {
  kOutbound,         // frames that wait for client sockets
  kSockets,          // the kernel's buffers of client sockets
  kInbound,          // unfinished messages of clients
  kUnauthenticated,  // unfinished messages of connections that have not said `connect`
  kHistories,        // topic histories
  kEvents,           // events kept for watchers
  kIdempotency,      // commands whose repeats are recognised
  kMailboxes,        // commands on their way to shards
  kCalls,            // requests, answers and results of producers' calls
  kOther,            // gRPC, the process itself, and what the allocator keeps
};
inline constexpr std::size_t kMemoryAccounts = 10;
inline constexpr std::array<const char*, kMemoryAccounts> kMemoryAccountNames = {
    "outbound", "sockets",     "inbound",   "unauthenticated", "histories",
    "events",   "idempotency", "mailboxes", "calls",           "other"};

// Percent of max_memory_bytes.
inline constexpr std::array<std::uint64_t, kMemoryAccounts> kMemoryPercent = {
    18,  // outbound
    18,  // sockets
    6,   // inbound
    3,   // unauthenticated
    16,  // histories
    4,   // events
    6,   // idempotency
    5,   // mailboxes, of all shards
    6,   // calls
    18,  // other
};

constexpr std::uint64_t ShareOf(MemoryAccount account, std::uint64_t max_memory_bytes) {
  return max_memory_bytes / 100 * kMemoryPercent[static_cast<std::size_t>(account)];
}

// What one remembered command costs, for max_idempotency_keys.
inline constexpr std::uint64_t kIdempotencyKeyBytes = 300;

}  // namespace herald
