#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "broker/broker.h"
#include "broker/nats_connection.h"
#include "broker/nats_stream.h"
#include "broker/nats_subjects.h"
#include "broker/nats_topic.h"
#include "broker/receipt_relay.h"
#include "session/mutex.h"
#include "session/shard.h"
#include "session/string_map.h"
#include "session/topic_index.h"
#include "session/topic_rules.h"

namespace herald {

struct NatsBrokerOptions {
  std::string prefix = "herald";
  int partitions = 4;
  NatsStreamOptions stream;
  absl::Duration publish_timeout = absl::Seconds(5);
  // Brings receipts back from other replicas; null: receipts tell of this one alone. Outlives the
  // broker, and is not started yet when that is made.
  ReceiptRelay* relay = nullptr;
  // The log of a stream is not what it was: it went back, was lost or was made anew. Its subscribers
  // receive a gap. For the operator's log; on the connection's threads.
  std::function<void(const std::string& stream)> on_new_log = [](const std::string&) {};
  // A publication was refused since the store is full. The same; for each one.
  std::function<void(const std::string& why)> on_full = [](const std::string&) {};
};

// Many replicas with one order: NATS.
//
// A topic with history lies in one of a few streams (NatsStream), which republish what is published to
// `<prefix>.l.<topic>`; there the replicas listen that have sessions on it. Other messages are
// published there directly. No consumer, and no watch, for any client or topic.
//
// Gaps:      a republished message names the one before it in its topic. Where that is not the last
//            one delivered, what lies between is read from the stream before anything newer goes
//            out. A lost tail is found by looking at each topic's last message every few seconds.
// Resume:    from the newest messages of the topic in memory, else from the stream, by one reader a
//            topic however many ask.
// Away:      with NATS gone sessions stay, publishing answers kUnavailable, new subscriptions wait for
//            kJoinTimeout. On its return the streams are looked at first (NatsStream, "Truth"), then
//            every topic is, and gets what it missed, or its subscribers are told of a gap.
//
// Threads:   any. Messages and answers come on NatsConnection's threads. A topic's order is made under
//            the lock of its stripe, which is held while messages are posted to mailboxes.
// Limits:    kMaxJoining questions under way at once; kMaxHeld messages a topic while it is repaired
//            (then the stream is read further); each topic's history_size in memory.
class NatsBroker : public Broker, public NatsConnection::Receiver {
 public:
  static constexpr std::size_t kStripes = 64;
  static constexpr std::size_t kMaxJoining = 512;
  static constexpr absl::Duration kJoinTimeout = absl::Seconds(10);
  // After NATS was away, so that whoever knows of a message that it has lost can say so, before
  // anybody is told that nothing is missing.
  static constexpr absl::Duration kSettle = absl::Milliseconds(800);
  // A topic without subscribers is still followed for so long: they often come back.
  static constexpr absl::Duration kLinger = absl::Seconds(30);

  NatsBroker(NatsConnection& connection, std::vector<std::unique_ptr<Shard>>& shards,
             TopicIndex& index, std::shared_ptr<const TopicRules> rules, NatsBrokerOptions options);
  // Closes the connection.
  ~NatsBroker() override;

  // Makes or checks the streams, and returns when that is done: kFailedPrecondition in one line for
  // the operator, or kUnavailable after `timeout`. Before anything else.
  absl::Status Open(absl::Duration timeout);

  void Subscribe(Shard& shard, const std::string& topic, std::optional<Position> since,
                 std::uint64_t max_subscribers, SubscribeDone done) override;
  void Unsubscribe(Shard& shard, const std::string& topic) override;
  void Publish(Publication publication, PublishDone done) override;
  void Read(ReadRequest request, ReadDone done) override;
  bool HasHistory(std::string_view topic) const override {
    return rules_->Find(topic).history_size > 0;
  }
  // Where topics begin or cease to have a history all streams get a new epoch: no position must
  // outlive a time in which messages were not kept.
  void ChangeRules(const TopicRules& next, absl::FunctionRef<void()> change) override;
  bool RecognisesRepeats() const override { return true; }
  std::string_view name() const override { return "nats"; }
  std::uint64_t history_bytes() const override {
    return history_bytes_.load(std::memory_order_relaxed);
  }
  std::uint64_t evicted_messages() const override { return 0; }
  std::uint64_t forgotten_topics() const override { return 0; }
  Counters counters() const override;
  bool away() const override { return !connection_.connected(); }
  void EverySecond(absl::Time now) override;

  void OnMessage(NatsMessage message) override;

 private:
  struct alignas(64) Stripe {
    Mutex mutex;
    StringMap<std::unique_ptr<NatsTopic>> topics ABSL_GUARDED_BY(mutex);
  };
  // A message on its way, for which somebody here waits: for a count of exceptions, or, without a
  // relay, for a receipt.
  struct Sent {
    TallyPtr tally;
    DeliveryOptionsPtr options;
    absl::Time at;

    Receipt* receipt() const { return options ? options->receipt.get() : nullptr; }
    // The receipt, if any, is held while the message is on its way.
    void Release() const {
      if (receipt() != nullptr) receipt()->Release();
    }
  };
  using State = NatsTopic::State;

  Stripe& StripeOf(std::string_view topic) {
    return stripes_[(StringHash{}(topic) >> 7) % kStripes];
  }
  NatsStream& StreamOf(const NatsTopic& topic) {
    return *streams_[static_cast<std::size_t>(topic.partition)];
  }
  // Runs `f` with each topic of the partition, under its stripe's lock.
  template <typename F>
  void ForEachTopicOf(int partition, F f) {
    for (Stripe& stripe : stripes_) {
      MutexLock lock(stripe.mutex);
      for (auto& [name, topic] : stripe.topics) {
        if (topic->partition == partition) f(name, *topic);
      }
    }
  }
  // Runs `f` with the topic under its stripe's lock, if it is there and that work is still wanted.
  template <typename F>
  void With(const std::string& name, std::uint64_t generation, F f) {
    Stripe& stripe = StripeOf(name);
    MutexLock lock(stripe.mutex);
    const auto it = stripe.topics.find(name);
    if (it != stripe.topics.end() && it->second->generation == generation) f(*it->second);
  }
  template <typename F>
  void WithReplay(const std::string& name, std::uint64_t replay, F f) {
    Stripe& stripe = StripeOf(name);
    MutexLock lock(stripe.mutex);
    const auto it = stripe.topics.find(name);
    if (it != stripe.topics.end() && it->second->replay == replay) f(*it->second);
  }
  std::unique_ptr<NatsTopic> MakeTopic(const std::string& name) const;
  // As many as the rule says, but never so many that the stream could have let go of one of them.
  std::size_t HistorySize(const TopicRule& rule) const {
    return std::min<std::size_t>(rule.history_size, options_.stream.max_messages_per_topic / 2);
  }
  std::uint64_t NewGeneration() { return generations_.fetch_add(1, std::memory_order_relaxed); }

  // nats_publish.cc
  void PublishLive(Publication publication, PublishDone done);
  void PublishKept(Publication publication, PublishDone done);
  // What is remembered of a publication until it is acknowledged.
  struct Asked {
    std::uint64_t fence = 0;
    std::uint64_t epoch = 0;  // of the stream, when it was sent
    std::string topic, fingerprint, receipt;
  };
  void OnAcknowledged(Asked asked, absl::StatusOr<NatsMessage> answer, PublishDone done);
  void AnswerTaken(Asked asked, std::uint64_t sequence, PublishDone done);
  void AnswerRepeat(std::uint64_t sequence, Asked asked, PublishDone done);
  std::string OutgoingReceipt(const Publication& publication);
  void Expect(std::uint64_t fence, const Publication& publication);
  Sent Take(std::uint64_t fence);
  void ForgetSent(absl::Time before);

  // nats_follow.cc: how topics come to be followed, and are again after NATS was away.
  void OnState(bool connected);
  void Verify(int partition);
  void OnVerified(int partition, absl::StatusOr<NatsStream::Verdict> verdict);
  void JoinSoon(std::string name);
  void PumpJoins();
  void Join(const std::string& name);
  void OnJoined(const std::string& name, std::uint64_t generation, const Position& head,
                absl::StatusOr<NatsStream::Fetched> last);
  void StartOver(const std::string& name, NatsTopic& topic, NotRecovered reason);
  void StartFrom(const std::string& name, NatsTopic& topic, std::uint64_t first,
                 std::uint64_t newest);
  void Look(const std::string& name, NatsTopic& topic, absl::Time now, std::size_t& budget);
  void Check(const std::string& name, NatsTopic& topic);
  void OnChecked(const std::string& name, NatsTopic& topic, const Position& asked,
                 const Position& newest);

  // nats_receive.cc: what comes, in order, and what did not come.
  void OnNewsOfStream(const NatsMessage& message);
  void Receive(const std::string& name, NatsTopic& topic, NatsTopic::Held held);
  void Repair(const std::string& name, NatsTopic& topic, std::uint64_t up_to);
  void OnRepaired(const std::string& name, NatsTopic& topic,
                  absl::StatusOr<std::vector<NatsStream::Fetched>> read);
  // The stream contradicts a position that was delivered: it is asked for it before it is trusted again.
  void Accuse(NatsTopic& topic, const Position& position);
  void GoLive(const std::string& name, NatsTopic& topic);
  void TellGap(const std::string& name, NatsTopic& topic, NotRecovered reason);
  void Deliver(const std::string& name, NatsTopic& topic, StoredMessage message,
               std::uint64_t sequence);
  void Post(const std::string& name, StoredMessage message, const Position& position,
            TopicLog* log);
  DeliveryOptionsPtr OptionsFor(const StoredMessage& stored, const Sent& sent,
                                std::uint64_t subscribers);
  // Up to where a topic has been delivered here; none if nobody is on it.
  std::optional<std::uint64_t> Delivered(std::string_view topic);
  void WaitForShards();

  // nats_resume.cc: who waits to be subscribed.
  void Serve(const std::string& name, NatsTopic& topic);
  bool ServeNow(NatsTopic& topic, NatsTopic::Waiter& waiter, bool trusted);
  void Replay(const std::string& name, NatsTopic& topic);
  void OnTrusted(const std::string& name, NatsTopic& topic);
  void OnReplayed(const std::string& name, NatsTopic& topic,
                  absl::StatusOr<std::vector<NatsStream::Fetched>> read);
  void EndReplay(const std::string& name, NatsTopic& topic, NotRecovered reason);
  void GiveUpLate(const std::string& name, NatsTopic& topic, absl::Time now);
  static void Answer(NatsTopic::Waiter& waiter, absl::StatusOr<FeedStart> start);
  using CheckedDone = absl::AnyInvocable<void(absl::StatusOr<NotRecovered>)>;
  void CheckPosition(int partition, const Position& position, CheckedDone done);
  void ReadFrom(std::uint64_t first, bool complete, ReadRequest request, ReadDone done);

  // Remembers what a log takes, over a change of it.
  class Accounting;

  NatsConnection& connection_;
  std::vector<std::unique_ptr<Shard>>& shards_;
  TopicIndex& index_;
  const std::shared_ptr<const TopicRules> rules_;
  const NatsBrokerOptions options_;
  const NatsSubjects subjects_;
  std::vector<std::shared_ptr<NatsStream>> streams_;
  std::unique_ptr<std::atomic<bool>[]> verifying_;
  std::array<Stripe, kStripes> stripes_;
  std::atomic<std::uint64_t> generations_{1};
  std::atomic<std::size_t> sent_count_{0};

  Mutex joins_mutex_;
  std::deque<std::string> to_join_ ABSL_GUARDED_BY(joins_mutex_);
  std::size_t joining_ ABSL_GUARDED_BY(joins_mutex_) = 0;

  Mutex sent_mutex_;
  absl::flat_hash_map<std::uint64_t, Sent> sent_ ABSL_GUARDED_BY(sent_mutex_);  // by fence

  std::atomic<std::int64_t> returned_unix_ms_{0};
  std::uint64_t seconds_ = 0;
  std::atomic<bool> check_all_{false};
  std::atomic<std::uint64_t> history_bytes_{0};
  std::atomic<std::uint64_t> repairs_{0}, repaired_{0}, gaps_{0}, replays_{0}, checks_{0},
      refused_{0}, full_{0}, contradictions_{0};
};

}  // namespace herald
