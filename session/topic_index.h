#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "session/mutex.h"
#include "session/string_map.h"

namespace herald {

inline constexpr int kMaxShards = 64;

// Which shards have subscribers of a topic, and how many, so that a message to one user wakes one
// shard.
//
// Threads:   any. Striped: two topics seldom meet on one lock, and it is held for one look-up.
class TopicIndex {
 public:
  struct Found {
    std::uint64_t shards = 0;       // bit i: shard i has subscribers
    std::uint64_t subscribers = 0;  // on all shards
  };

  // One more subscriber of `topic` on `shard`. False, and nothing changes, if that would make more
  // than `max_subscribers` (0: no limit).
  bool Add(std::string_view topic, int shard, std::uint64_t max_subscribers = 0);
  void Remove(std::string_view topic, int shard);
  Found Find(std::string_view topic) const;

  // Topics with subscribers, and how many of them are personal.
  struct Size {
    std::uint64_t topics = 0;
    std::uint64_t users = 0;
  };
  Size Count() const;

 private:
  // (shard, subscribers), only of shards that have some.
  using Counts = absl::InlinedVector<std::pair<std::uint32_t, std::uint32_t>, 2>;
  struct alignas(64) Stripe {
    mutable Mutex mutex;
    StringMap<Counts> topics ABSL_GUARDED_BY(mutex);
  };
  static constexpr std::size_t kStripes = 256;

  // By the topic's hash, which the look-up in the stripe then needs no more to make.
  const Stripe& StripeOf(std::size_t hash) const { return stripes_[(hash >> 7) % kStripes]; }
  Stripe& StripeOf(std::string_view topic) {
    return const_cast<Stripe&>(std::as_const(*this).StripeOf(StringHash{}(topic)));
  }

  std::array<Stripe, kStripes> stripes_;
};

}  // namespace herald
