#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "session/address_table.h"
#include "ws/rate_limit.h"
#include "ws/user_rates.h"

namespace herald {

// Measures what one session sends and has replayed, against its own limits and those of its user
// and address.
//
// The session's buckets are charged at once. What the user and the address are charged with is
// collected, up to kSettleFrames frames or kSettleBytes bytes, so that shared state is seldom
// touched. Settle charges the rest; call it when the session ends.
//
// Threads: the session's shard.
class SessionMeter {
 public:
  // Whom a session is charged to besides itself.
  struct Payers {
    const Limits& limits;
    UserRates& users;
    std::string_view user;  // empty: nobody is known
    AddressState* address;  // null: it is not limited
  };
  static constexpr std::uint32_t kSettleFrames = 32;
  static constexpr std::uint32_t kSettleBytes = 64 * 1024;

  // The session has sent this much. A reason if that is too much: then user and address are charged
  // at once.
  std::optional<RateReason> Sent(std::uint32_t frames, std::size_t bytes, const Payers& payers,
                                 std::int64_t now_ns);
  // Charges user and address with what is still uncharged. A reason if one had nothing left.
  std::optional<RateReason> Settle(const Payers& payers, std::int64_t now_ns);
  // A reason if no history may be replayed now. To be asked before history is read.
  std::optional<RateReason> MayReplay(const Payers& payers, std::int64_t now_ns) const;
  void Replayed(std::size_t bytes, const Payers& payers, std::int64_t now_ns);

  // A reason if a new session of this user and address would be closed for what others have sent.
  static std::optional<RateReason> MayOpen(const Payers& payers, std::int64_t now_ns);

 private:
  static std::optional<RateReason> Charge(std::uint64_t frames, std::uint64_t bytes,
                                          const Payers& payers, std::int64_t now_ns);

  RateBucket frames_;
  RateBucket bytes_;
  RateBucket replayed_bytes_;
  std::uint16_t unsettled_bytes_ = 0;  // below kSettleBytes
  std::uint8_t unsettled_frames_ = 0;  // below kSettleFrames
};

}  // namespace herald
