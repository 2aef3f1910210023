#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "session/topic_feed.h"
#include "session/topic_rules.h"

namespace herald {

// Where a message gets its position, and from where it goes to all shards with subscribers.
//
// Promises, which one contract suite holds both implementations to:
//   Order      For one topic every shard sees the same order: that of the offsets. Publications
//   that one thread makes
//              to one topic keep their order.
//   Positions  Offsets of an epoch only grow. A log that was lost comes back with another epoch.
//   Atomic     Subscribe hands out a position such that everything behind it comes live, and
//   nothing at or before it is missing
//              from what it says was missed.
//   Accepted   Publish answers OK once the message is in the log (where the topic has one) and on
//   its way to the shards. Never a partial recovery called whole: in doubt `recovered` is false,
//   with a reason.
//
// Threads: any; see TopicFeed for the callbacks.
class Broker : public TopicFeed {
 public:
  // As Publish, for who can take the answer at once: nothing is returned only where it comes later,
  // through what `on_wait` gave.
  using OnWait = absl::FunctionRef<PublishDone()>;
  virtual std::optional<absl::StatusOr<Published>> PublishOrWait(Publication publication,
                                                                 OnWait on_wait) {
    Publish(std::move(publication), on_wait());
    return std::nullopt;
  }
  // False only if a message on `topic` would go nowhere: nobody would get it, and it would not be
  // kept, be it that it is live-only (`keep` false) or that the topic has no history.
  virtual bool Wants(std::string_view /*topic*/, bool /*keep*/) const { return true; }

  struct ReadRequest {
    std::string topic;
    std::optional<Position> since;  // messages behind it; none: from the oldest
    std::size_t limit = 100;
    bool reverse = false;  // newest first
  };
  struct ReadResult {
    std::vector<MessagePtr> messages;
    Position current;      // the newest of the log; empty if the topic keeps none
    bool complete = true;  // false: `since` does not lie in the log any more
  };
  using ReadDone = absl::AnyInvocable<void(absl::StatusOr<ReadResult>)>;
  virtual void Read(ReadRequest request, ReadDone done) = 0;

  // Calls `change`, which makes `next` the topic rules in force, with what the broker has to do
  // before and after. By one thread at a time.
  virtual void ChangeRules(const TopicRules& /*next*/, absl::FunctionRef<void()> change) {
    change();
  }

  // True if the store itself knows repeats by `Publication::dedupe_id`, so that it is worth making one.
  virtual bool RecognisesRepeats() const { return false; }

  // True if messages of the topic get positions, so that clients can resume and acknowledge.
  virtual bool HasHistory(std::string_view topic) const = 0;
  // `memory` or `nats`.
  virtual std::string_view name() const = 0;
  // What the logs hold on this node, in bytes.
  // Lets go of histories in memory until they hold `max_bytes` at most.
  virtual void EvictTo(std::uint64_t /*max_bytes*/) {}
  virtual std::uint64_t history_bytes() const = 0;
  // Messages that left the logs before their time, since all logs together were full, and logs of
  // quiet topics that were forgotten; since the start.
  virtual std::uint64_t evicted_messages() const = 0;
  virtual std::uint64_t forgotten_topics() const = 0;
  // What else is worth counting, by a name of letters and underscores; since the start.
  using Counters = std::vector<std::pair<const char*, std::uint64_t>>;
  virtual Counters counters() const { return {}; }
  // The store cannot be reached: nothing can be published until it returns.
  virtual bool away() const { return false; }
  // What is due now and then; to be called once a second, by one thread.
  virtual void EverySecond(absl::Time now) = 0;
};

}  // namespace herald
