// How fast clients may send, and have history replayed: the rates, and why a client is over one.
//
// Threads: plain values and free functions, any thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "session/limits.h"
#include "session/rate_bucket.h"

namespace herald {

// Whose bucket is empty, and of what. The names are those of a metric.
enum class RateReason : std::uint8_t {
  kSessionFrames,
  kSessionBytes,
  kSessionReplay,
  kUserFrames,
  kUserBytes,
  kUserReplay,
  kAddressFrames,
  kAddressBytes,
  kAddressReplay,
};
inline constexpr int kRateReasons = 9;
inline constexpr const char* kRateReasonNames[kRateReasons] = {
    "session_frames", "session_bytes",  "session_replay", "user_frames",   "user_bytes",
    "user_replay",    "address_frames", "address_bytes",  "address_replay"};

// For the close frame, the reply or the HTTP answer; at most 123 bytes.
std::string Describe(RateReason reason, const Limits& limits);

// What may be done in a second, and at once. A rate of 0 is no limit.
struct Rates {
  RateBucket::Rate frames;
  RateBucket::Rate bytes;
  RateBucket::Rate replayed_bytes;

  // Of one session.
  static Rates Of(const Limits& limits);
  // Of all sessions of a user or an address; no limit with `multiple` 0.
  Rates Times(std::uint32_t multiple) const;
};

}  // namespace herald
