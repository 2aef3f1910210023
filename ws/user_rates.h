#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "session/mutex.h"
#include "session/string_map.h"
#include "ws/rate_limit.h"

namespace herald {

// How much the sessions of each user have sent and have had replayed lately, on this replica. A user
// who reconnects finds the buckets as the last session left them.
//
// Threads:   any; one lock of a part for a look-up. Sessions charge many frames at a time, so it is
//            seldom taken.
// Limits:    `max_users` buckets, about 150 bytes each. Full ones are forgotten: they are like new.
//            Past the limit further users share one bucket for each part until others are full.
class UserRates {
 public:
  static constexpr std::size_t kParts = 16;
  static constexpr std::size_t kMaxUsers = 65'536;

  explicit UserRates(std::size_t max_users = kMaxUsers) : max_per_part_(max_users / kParts + 1) {}
  UserRates(const UserRates&) = delete;
  UserRates& operator=(const UserRates&) = delete;

  // `user`'s sessions have sent this much. A reason if the user had nothing left before.
  std::optional<RateReason> Sent(std::string_view user, std::uint64_t frames, std::uint64_t bytes,
                                 const Rates& rates, std::int64_t now_ns);
  // A reason if nothing may be sent (replayed) now. Charges nothing.
  std::optional<RateReason> MaySend(std::string_view user, const Rates& rates,
                                    std::int64_t now_ns) const;
  std::optional<RateReason> MayReplay(std::string_view user, const Rates& rates,
                                      std::int64_t now_ns) const;
  void Replayed(std::string_view user, std::uint64_t bytes, const Rates& rates,
                std::int64_t now_ns);

  // Users with a bucket; for tests.
  std::size_t size() const;

 private:
  struct Buckets {
    RateBucket frames;
    RateBucket bytes;
    RateBucket replayed_bytes;
  };
  struct alignas(64) Part {
    mutable Mutex mutex;
    StringMap<std::unique_ptr<Buckets>> users ABSL_GUARDED_BY(mutex);
    std::size_t sweep_at ABSL_GUARDED_BY(mutex) = 64;  // users
    Buckets others ABSL_GUARDED_BY(mutex);             // of users for whom there is no room
  };

  const Part& PartOf(std::string_view user) const {
    return parts_[(StringHash{}(user) >> 40) % kParts];  // not the bits that the maps use
  }
  Part& PartOf(std::string_view user) {
    return const_cast<Part&>(static_cast<const UserRates*>(this)->PartOf(user));
  }
  Buckets& Find(Part& part, std::string_view user, const Rates& rates, std::int64_t now_ns)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(part.mutex);
  static bool Full(const Buckets& buckets, const Rates& rates, std::int64_t now_ns);

  const std::size_t max_per_part_;
  std::array<Part, kParts> parts_;
};

}  // namespace herald
