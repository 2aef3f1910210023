#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "session/mutex.h"
#include "session/session_id.h"
#include "session/string_map.h"
#include "session/topic_index.h"

namespace herald {

class Session;
class Shard;

// Somebody came to a topic, or went.
struct PresenceChange {
  enum class Kind : std::uint8_t { kJoin, kLeave };
  Kind kind = Kind::kJoin;
  std::string topic;
  std::string session_id;  // the one that came first, or went last
  std::string user;        // empty for an anonymous session
};

// Tells the subscribers of topics whose rule has `join_leave` who comes and who goes. A user with
// several sessions comes with the first and goes with the last; one whose connection broke goes
// only after `grace`, so that a reconnect is no news.
//
// Threads:   any. Striped by topic; one lock a subscription, and only on topics that have news.
// Order:     the news of one topic reach every shard in one order. Between news and messages there
//            is none.
// Limits:    as many entries as users on such topics. A join among n subscribers is n frames, so
//            the rule is for rooms, not for crowds.
class PresenceNews {
 public:
  PresenceNews(std::vector<std::unique_ptr<Shard>>& shards, const TopicIndex& index,
               absl::Duration grace)
      : shards_(shards), index_(index), grace_(grace) {}

  // By the shard of `session`, once it is on `topic`, and once it is not any more.
  void Joined(const Session& session, const std::string& topic);
  void Left(const Session& session, const std::string& topic, bool may_come_back, absl::Time now);
  // Tells of those whose grace is over. To be called now and then.
  void Advance(absl::Time now);

 private:
  struct Present {
    std::uint32_t sessions = 0;
    std::string session_id;                       // to be told if it goes
    absl::Time gone_at = absl::InfiniteFuture();  // with no session: when the grace is over
  };
  struct alignas(64) Stripe {
    Mutex mutex;
    // By topic, then by user, or by session for anonymous ones (`#` and its id).
    StringMap<StringMap<Present>> topics ABSL_GUARDED_BY(mutex);
    std::uint64_t leaving ABSL_GUARDED_BY(mutex) = 0;  // entries in their grace
  };

  Stripe& StripeOf(std::string_view topic) {
    return stripes_[StringHash{}(topic) % stripes_.size()];
  }
  // Under the stripe's lock: that makes the order the same on all shards.
  void Tell(PresenceChange change);

  std::vector<std::unique_ptr<Shard>>& shards_;
  const TopicIndex& index_;
  const absl::Duration grace_;
  std::array<Stripe, 64> stripes_;
};

}  // namespace herald
