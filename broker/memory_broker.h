#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "broker/broker.h"
#include "broker/topic_log.h"
#include "session/keyed_set.h"
#include "session/mutex.h"
#include "session/owner.h"
#include "session/shard.h"
#include "session/size_ranks.h"
#include "session/string_map.h"
#include "session/topic_index.h"
#include "session/topic_rules.h"

namespace herald {

// The embedded default: logs in this process's memory, one order a topic.
//
// Threads:   any. A topic's order is made under the lock of its stripe, which is held while the
//            message is posted to the shards' mailboxes: that is what makes the order the same on
//            all of them.
// Owners:    a log belongs to the producer that published to it last; those of all clients, and of
//            producers without a name, to one owner.
// Limits:    each topic's history_size and history_ttl; `max_history_bytes` for all logs together:
//            past it, of the owner that holds the most, the topic that holds the most lets go of its
//            oldest messages. So nobody pushes out others' histories, be it by one large topic or by
//            many small ones. A log counts with its name and itself, and one that has to let go of
//            its last message is forgotten but for its position, so that the topic resumes; so are
//            logs that have been empty and unused for kForgotten. Of positions max_forgotten() are
//            kept, the newest.
class MemoryBroker final : public Broker {
 public:
  static constexpr absl::Duration kForgotten = absl::Minutes(10);
  // A position that is kept takes some 60 bytes.
  static constexpr std::size_t kMinForgotten = 4096, kMaxForgotten = std::size_t{1} << 20;
  static constexpr std::size_t kForgottenPart = 256;  // bytes of max_history_bytes for each
  static constexpr std::size_t kStripes = 256;

  MemoryBroker(std::vector<std::unique_ptr<Shard>>& shards, TopicIndex& index,
               std::shared_ptr<const TopicRules> rules, std::size_t max_history_bytes);

  void Subscribe(Shard& shard, const std::string& topic, std::optional<Position> since,
                 std::uint64_t max_subscribers, SubscribeDone done) override;
  void Unsubscribe(Shard& shard, const std::string& topic) override;
  void Publish(Publication publication, PublishDone done) override {
    done(PublishNow(std::move(publication)));
  }
  std::optional<absl::StatusOr<Published>> PublishOrWait(Publication publication, OnWait) override {
    return PublishNow(std::move(publication));
  }
  bool Wants(std::string_view topic, bool keep) const override {
    return index_.Find(topic).shards != 0 || (keep && HasHistory(topic));
  }
  void Read(ReadRequest request, ReadDone done) override;
  bool HasHistory(std::string_view topic) const override {
    return rules_->Find(topic).history_size > 0;
  }
  std::string_view name() const override { return "memory"; }
  std::uint64_t history_bytes() const override {
    return history_bytes_.load(std::memory_order_relaxed);
  }

  std::uint64_t evicted_messages() const override {
    return evicted_.load(std::memory_order_relaxed);
  }
  std::uint64_t forgotten_topics() const override {
    return forgotten_.load(std::memory_order_relaxed);
  }

  std::size_t max_forgotten() const { return max_forgotten_; }

  void EverySecond(absl::Time now) override { Sweep(now, kStripes / 16); }

  // Logs get their new limits; those whose topics keep none any more go. Where it changes which topics
  // keep one, positions of topics without a log are void: nobody could say what was missed while none
  // was kept.
  void ChangeRules(const TopicRules& next, absl::FunctionRef<void()> change) override;

  // Lets go of the oldest messages of the largest topics, until all logs hold `max_bytes` at most.
  void EvictTo(std::uint64_t max_bytes) override;

  // Lets go of expired messages and forgotten logs in the next `stripes` of kStripes, round and
  // round: a part at a time, since looking at a million logs would stall the others' work. To be
  // called now and then, by one thread.
  void Sweep(absl::Time now, std::size_t stripes = kStripes);

 private:
  struct Owner {
    std::atomic<std::uint64_t> bytes{0};
    // The highest rank of its share of each stripe, so that its largest log is found without their
    // locks.
    std::array<std::atomic<std::uint8_t>, kStripes> highest{};
  };
  struct RankedLog;
  // The logs of one owner in one stripe.
  struct Share {
    Owner& owner;
    SizeRanks<RankedLog> by_size;
  };
  struct RankedLog : TopicLog {
    RankedLog(std::string_view topic, Position start, std::size_t max_messages,
              absl::Duration max_age)
        : TopicLog(start, max_messages, max_age), topic(topic) {}
    // Of the messages, of itself and of its place in the tables.
    std::size_t cost() const { return sizeof(RankedLog) + 64 + topic.size() + bytes(); }

    const std::string topic;
    Share* share = nullptr;  // null: not listed yet
    OwnerId owner = 0;
    std::size_t counted = 0;  // of its cost
    SizeRanks<RankedLog>::Place place;
  };
  struct TopicOf {
    static std::string_view Of(std::string_view topic) { return topic; }
    static std::string_view Of(const std::unique_ptr<RankedLog>& log) { return log->topic; }
  };
  using Logs = KeyedSet<std::unique_ptr<RankedLog>, TopicOf, StringHash>;
  struct alignas(64) Stripe {
    Mutex mutex;
    // Of the topics that have had a message.
    Logs logs ABSL_GUARDED_BY(mutex);
    absl::flat_hash_map<Owner*, std::unique_ptr<Share>> shares ABSL_GUARDED_BY(mutex);
    absl::flat_hash_map<OwnerId, Share*> share_of ABSL_GUARDED_BY(mutex);
    // Of logs made from now on. A new one when the position of a forgotten log is lost, since that
    // topic begins anew then.
    std::uint64_t epoch ABSL_GUARDED_BY(mutex) = 0;
    // Where forgotten logs go on, by the hash of their topic. Two topics of one hash do no harm:
    // epoch and fence tell them apart.
    absl::flat_hash_map<std::size_t, Position> forgotten ABSL_GUARDED_BY(mutex);
    std::deque<std::size_t> forgotten_order ABSL_GUARDED_BY(mutex);
  };

  Stripe& StripeOf(std::string_view topic) {
    return stripes_[(StringHash{}(topic) >> 7) % stripes_.size()];
  }
  std::size_t IndexOf(const Stripe& stripe) const {
    return static_cast<std::size_t>(&stripe - stripes_.data());
  }
  Published PublishNow(Publication publication);
  // The topic's log, made if it is not there; null if the topic keeps none.
  RankedLog* LogOf(Stripe& stripe, std::string_view topic)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(stripe.mutex);
  // Where a topic without a log is.
  Position StartOf(const Stripe& stripe, std::string_view topic) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(stripe.mutex);
  // Counts what `log` costs now.
  void Recount(Stripe& stripe, RankedLog& log) ABSL_EXCLUSIVE_LOCKS_REQUIRED(stripe.mutex) {
    Count(stripe, log, log.cost());
  }
  void Count(Stripe& stripe, RankedLog& log, std::size_t cost)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(stripe.mutex);
  // Keeps the position alone; `log` is to be erased.
  void Forget(Stripe& stripe, RankedLog& log) ABSL_EXCLUSIVE_LOCKS_REQUIRED(stripe.mutex);
  // `log` belongs to `owner` from now on.
  void SetOwner(Stripe& stripe, RankedLog& log, OwnerId owner)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(stripe.mutex);
  // Takes from the largest log of the owner that holds the most; false if there is none.
  bool EvictFromLargest(std::uint64_t max_bytes);

  std::vector<std::unique_ptr<Shard>>& shards_;
  TopicIndex& index_;
  const std::shared_ptr<const TopicRules> rules_;
  const std::size_t max_history_bytes_;
  const std::size_t max_forgotten_;
  std::atomic<std::uint64_t> history_bytes_{0};
  std::atomic<std::uint64_t> forgotten_{0};
  std::atomic<std::uint64_t> evicted_{0};
  std::size_t swept_ = 0;  // stripes, since the start
  OwnerTable<Owner> owners_;
  std::array<Stripe, kStripes> stripes_;
};

}  // namespace herald
