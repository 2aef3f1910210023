// What every message of a measurement carries: its number and when it was meant to be sent.
#pragma once

#include <time.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace herald::bench {

struct Stamp {
  std::uint64_t seq = 0;      // one more than that of the message before, for each receiver
  std::uint64_t sent_ns = 0;  // NowNs() when it was meant to be sent
};

// CLOCK_MONOTONIC: the same for all processes of the machine.
inline std::uint64_t NowNs() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

// Begins a stamp wherever a server puts the payload in its frames; the same inside a JSON string.
inline constexpr std::string_view kStampMark = "bench-";
inline constexpr std::size_t kStampBytes = kStampMark.size() + 16 + 1 + 16;

// A payload of `bytes` (at least 64), valid JSON: {"m":"bench-<seq>-<sent_ns>-xxxx"}.
std::string MakePayload(const Stamp& stamp, std::size_t bytes);
// `text` begins with a mark. Nothing if what follows is no stamp.
std::optional<Stamp> ReadStamp(std::string_view text);

}  // namespace herald::bench
