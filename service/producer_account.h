#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "service/producer_rights.h"
#include "service/rate_limit.h"

namespace herald {

enum class ProducerLimit : std::uint8_t { kCommands, kBytes, kStreams };
inline constexpr std::size_t kProducerLimits = 3;
inline constexpr std::array<std::string_view, kProducerLimits> kProducerLimitNames = {
    "commands_per_second", "bytes_per_second", "push_streams"};

// What one producer has used and been refused on this replica, over all its streams and calls. It
// outlives a reload.
//
// Threads: any; no lock.
struct alignas(64) ProducerAccount {
  // What runs: refused above the rate.
  ProducerRate commands, bytes;
  // What streams read, refused commands included: above the rate they are not read further.
  ProducerRate commands_read, bytes_read;

  std::atomic<std::uint64_t> call_bytes{0};   // held for its calls (call_memory.h)
  std::atomic<std::int64_t> next_told_ns{0};  // when the next refusal may be logged
  std::atomic<std::uint64_t> taken{0};        // commands and calls, refused ones included
  std::array<std::atomic<std::uint64_t>, kRights> denied{};
  std::array<std::atomic<std::uint64_t>, kProducerLimits> limited{};
};

}  // namespace herald
