#include "ws/rate_limit.h"

#include "fmt/format.h"

namespace herald {
namespace {

// RateBucket takes no more units at once.
constexpr std::uint64_t kMaxBurst = std::uint64_t{1} << 32;

RateBucket::Rate Multiply(RateBucket::Rate rate, std::uint32_t multiple) {
  return {rate.per_second * multiple, std::min(rate.burst * multiple, kMaxBurst)};
}

}  // namespace

Rates Rates::Of(const Limits& limits) {
  return {{limits.inbound_messages_per_second, limits.inbound_burst_messages()},
          {limits.inbound_bytes_per_second, std::min(limits.inbound_burst_bytes(), kMaxBurst)},
          {limits.replay_bytes_per_second, std::min(limits.replay_burst_bytes(), kMaxBurst)}};
}

Rates Rates::Times(std::uint32_t multiple) const {
  return {Multiply(frames, multiple), Multiply(bytes, multiple),
          Multiply(replayed_bytes, multiple)};
}

std::string Describe(RateReason reason, const Limits& limits) {
  const Rates session = Rates::Of(limits);
  const Rates user = session.Times(limits.user_rate_multiple);
  const Rates address = session.Times(limits.address_rate_multiple);
  switch (reason) {
    case RateReason::kSessionFrames:
      return fmt::format("more than {} frames a second", session.frames.per_second);
    case RateReason::kSessionBytes:
      return fmt::format("more than {} bytes a second", session.bytes.per_second);
    case RateReason::kSessionReplay:
      return fmt::format("more than {} bytes of history a second",
                         session.replayed_bytes.per_second);
    case RateReason::kUserFrames:
      return fmt::format("more than {} frames a second by this user", user.frames.per_second);
    case RateReason::kUserBytes:
      return fmt::format("more than {} bytes a second by this user", user.bytes.per_second);
    case RateReason::kUserReplay:
      return fmt::format("more than {} bytes of history a second for this user",
                         user.replayed_bytes.per_second);
    case RateReason::kAddressFrames:
      return fmt::format("more than {} frames a second by this address", address.frames.per_second);
    case RateReason::kAddressBytes:
      return fmt::format("more than {} bytes a second by this address", address.bytes.per_second);
    case RateReason::kAddressReplay:
      return fmt::format("more than {} bytes of history a second for this address",
                         address.replayed_bytes.per_second);
  }
  return "";
}

}  // namespace herald
