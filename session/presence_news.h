#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "session/mutex.h"
#include "session/rate_bucket.h"
#include "session/session_id.h"
#include "session/string_map.h"
#include "session/topic_index.h"

namespace herald {

class Session;
class Shard;

// A user came to a topic, or left it.
struct PresenceChange {
  enum class Kind : std::uint8_t { kJoin, kLeave };
  Kind kind = Kind::kJoin;
  std::string topic;
  SessionId session;       // the user's first one to come, or the last one to leave
  std::string session_id;  // the same as text
  std::string user;        // empty for an anonymous session
};

// Sends `join` and `leave` to the subscribers of topics whose rule has `join_leave`. A user with
// several sessions joins with the first and leaves with the last.
//
// A leave waits for `grace`. A user who is back within it causes no news, whether the connection
// broke or the client unsubscribed. Two leaves do not wait: an anonymous session that has ended
// (nobody can come back as that session), and a user whom a producer disconnected.
//
// News cost as many frames as the topic has subscribers. Each topic has a budget of
// `frames_per_second`. Past it, users wait: each at most once, and when a user's turn comes the
// subscribers hear what is true then, or nothing if they know it already. So news may be late, and
// are never wrong or lost.
//
// Threads:   any. Striped by topic; one lock for each subscription, only on topics with the rule.
// Order:     the news of one topic reach every shard in one order. Between news and messages there
//            is no order.
// Limits:    one entry for each user on such topics, and for each user in the grace.
class PresenceNews {
 public:
  struct Options {
    absl::Duration grace = absl::ZeroDuration();
    std::uint64_t frames_per_second = 0;  // of one topic; 0: no limit
  };
  enum class Leave : std::uint8_t {
    kMayReturn,  // after the grace
    kForGood,    // now
  };

  PresenceNews(std::vector<std::unique_ptr<Shard>>& shards, const TopicIndex& index,
               Options options)
      : shards_(shards), index_(index), options_(options) {}

  // By the shard of `session`, once it is on `topic`, and once it is not any more. `now_ns` is
  // MonotonicNanos(), as in Advance.
  void Joined(const Session& session, const std::string& topic, std::int64_t now_ns);
  void Left(const Session& session, const std::string& topic, Leave leave, std::int64_t now_ns);
  // Sends the leaves whose grace is over, and what waits for the budget. Call it a few times a
  // second.
  void Advance(std::int64_t now_ns);

  struct Counts {
    std::uint64_t sent = 0;     // news, each to all subscribers of its topic
    std::uint64_t unsent = 0;   // joins and leaves that cancelled each other out
    std::uint64_t delayed = 0;  // news that had to wait for the budget
  };
  Counts counts() const;

 private:
  struct Present {
    std::uint32_t sessions = 0;
    SessionId session;  // named in the leave
    std::string session_id;
    std::int64_t grace_until = 0;  // without a session: when the user has left
    bool in_leaving = false;       // in Stripe::leaving
    bool waiting = false;          // in Room::waiting
    bool announced = false;        // the subscribers have heard of the join
  };
  struct Room {
    // By user, or by session for anonymous ones (`#` and its id).
    StringMap<Present> users;
    std::deque<std::string> waiting;  // keys of `users`, for the budget
    bool listed = false;              // in Stripe::unsettled
    std::unique_ptr<RateBucket> budget = std::make_unique<RateBucket>();
  };
  struct Leaving {
    std::int64_t due = 0;
    std::string topic;
    std::string key;
  };
  struct alignas(64) Stripe {
    Mutex mutex;
    StringMap<Room> rooms ABSL_GUARDED_BY(mutex);
    std::deque<Leaving> leaving ABSL_GUARDED_BY(mutex);  // users in the grace
    // Topics whose users wait, or that nobody is on while their budget fills up again.
    std::deque<std::string> unsettled ABSL_GUARDED_BY(mutex);
  };

  Stripe& StripeOf(std::string_view topic) {
    return stripes_[StringHash{}(topic) % stripes_.size()];
  }
  // The rest is called under the stripe's lock: that makes the order the same on all shards.

  // Something about the user may have changed: sends it, or has it wait for the budget.
  void Update(Stripe& stripe, const std::string& topic, const std::string& key, std::int64_t now_ns)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(stripe.mutex);
  // Sends what the subscribers do not know of the user, and forgets a user who has left.
  void Settle(Room& room, const std::string& topic, const std::string& key, std::int64_t now_ns);
  static void DropStaleKeys(Room& room);
  void EndGraces(Stripe& stripe, std::int64_t now_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(stripe.mutex);
  void SendWaiting(Stripe& stripe, std::int64_t now_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(stripe.mutex);
  bool HasBudget(const Room& room, std::int64_t now_ns) const;
  // Nobody is on the topic, and its budget is like new.
  bool IsForgettable(const Room& room, std::int64_t now_ns) const;
  void Send(Room& room, PresenceChange change, std::int64_t now_ns);
  RateBucket::Rate Budget() const {
    return {options_.frames_per_second, options_.frames_per_second};
  }

  std::vector<std::unique_ptr<Shard>>& shards_;
  const TopicIndex& index_;
  const Options options_;
  std::array<Stripe, 64> stripes_;
  std::atomic<std::uint64_t> sent_{0};
  std::atomic<std::uint64_t> unsent_{0};
  std::atomic<std::uint64_t> delayed_{0};
};

}  // namespace herald
