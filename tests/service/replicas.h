// Several whole nodes of one cluster in a test process: shards, a broker that they share, and all of
// service/ that concerns other nodes.
#pragma once

#include <bit>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "broker/receipt_relay.h"
#include "service/ban_exchange.h"
#include "service/cluster_commands.h"
#include "service/command_runner.h"
#include "service/event_exchange.h"
#include "service/executor.h"
#include "service/producer_moves.h"
#include "service/push_stream.h"
#include "service/questions.h"
#include "service/session_fence.h"
#include "tests/broker/local_cluster.h"
#include "tests/session/node.h"

namespace herald {

class LocalBroker;

// What the brokers of all nodes share: the order of each topic.
struct SharedOrder {
  Mutex mutex;
  std::map<std::string, std::uint64_t, std::less<>> offsets ABSL_GUARDED_BY(mutex);
  std::vector<LocalBroker*> brokers ABSL_GUARDED_BY(mutex);
};

// A broker whose messages reach the shards of all nodes, some time later and in one order. No log:
// topics under `kept/` and `$` have positions, and nothing is recovered.
class LocalBroker final : public Broker {
 public:
  LocalBroker(SharedOrder& order, ReceiptRelay& relay, std::vector<std::unique_ptr<Shard>>& shards,
              TopicIndex& index)
      : order_(order), relay_(relay), shards_(shards), index_(index) {
    MutexLock lock(order_.mutex);
    order_.brokers.push_back(this);
  }
  ~LocalBroker() override {
    MutexLock lock(order_.mutex);
    std::erase(order_.brokers, this);
  }

  void Subscribe(Shard& shard, const std::string& topic, std::optional<Position>,
                 std::uint64_t max_subscribers, SubscribeDone done) override {
    FeedStart start;
    {
      MutexLock lock(order_.mutex);
      if (index_.Add(topic, shard.index(), max_subscribers) && HasHistory(topic))
        start.position = {1, order_.offsets[topic], 1};
    }
    done(std::move(start));
  }
  void Unsubscribe(Shard& shard, const std::string& topic) override {
    index_.Remove(topic, shard.index());
  }
  void Publish(Publication publication, PublishDone done) override {
    Published published;
    published.elsewhere = true;
    published.matched = index_.Find(publication.topic).subscribers;
    std::string header;
    if (publication.options && publication.options->receipt)
      header = relay_.Outgoing(publication.options->receipt);
    {
      MutexLock lock(order_.mutex);
      if (publication.keep && HasHistory(publication.topic))
        published.position = {1, ++order_.offsets[publication.topic], 1};
      const TallyPtr tally = std::move(publication.tally);  // counts here, as `matched` does
      for (LocalBroker* broker : order_.brokers)
        broker->Arrive(publication, published, header, broker == this ? tally : nullptr);
    }
    if (!header.empty()) relay_.Published(header, publication.topic, published.position.offset);
    if (!answers_later) return done(std::move(published));
    // As a broker over a network: when the message has come back.
    thread_.Post([done = std::move(done), published]() mutable { done(published); });
  }
  std::atomic<bool> answers_later{false};

  void Read(ReadRequest, ReadDone done) override { done(ReadResult{}); }
  bool HasHistory(std::string_view topic) const override {
    return topic.starts_with("kept/") || IsReserved(topic);
  }
  std::string_view name() const override { return "local"; }
  std::uint64_t history_bytes() const override { return 0; }
  std::uint64_t evicted_messages() const override { return 0; }
  std::uint64_t forgotten_topics() const override { return 0; }
  void EverySecond(absl::Time) override {}

  std::optional<std::uint64_t> Delivered(std::string_view topic) {
    if (index_.Find(topic).shards == 0) return std::nullopt;
    MutexLock lock(mutex_);
    const auto it = delivered_.find(topic);
    return it == delivered_.end() ? 0 : it->second;
  }
  // What arrives waits until the result goes.
  std::unique_ptr<std::promise<void>> Pause() {
    auto go_on = std::make_unique<std::promise<void>>();
    thread_.Post([future = go_on->get_future().share()] { future.wait(); });
    return go_on;
  }

 private:
  void Arrive(const Publication& publication, const Published& published, const std::string& header,
              TallyPtr tally) {
    thread_.Post([this, publication, position = published.position, header, tally] {
      const TopicIndex::Found found = index_.Find(publication.topic);
      if (found.shards != 0) {
        auto options = std::make_shared<DeliveryOptions>();
        if (publication.options) *options = *publication.options;
        options->receipt = header.empty() ? nullptr : relay_.Incoming(header, found.subscribers);
        const ReceiptPtr receipt = options->receipt;
        const auto message = std::make_shared<const Message>(publication.body, publication.topic,
                                                             position, std::move(options));
        for (std::uint64_t left = found.shards; left != 0; left &= left - 1) {
          if (receipt) receipt->Hold();
          if (tally) tally->Expect();
          shards_[static_cast<std::size_t>(std::countr_zero(left))]->Deliver(
              message, publication.except, tally);
        }
        if (receipt) receipt->Release();
      }
      if (tally) tally->Answer(0);
      MutexLock lock(mutex_);
      delivered_[publication.topic] = position.offset;
    });
  }

  SharedOrder& order_;
  ReceiptRelay& relay_;
  std::vector<std::unique_ptr<Shard>>& shards_;
  TopicIndex& index_;
  Mutex mutex_;
  std::map<std::string, std::uint64_t, std::less<>> delivered_ ABSL_GUARDED_BY(mutex_);
  Executor thread_;  // last: what runs on it uses the rest
};

// One node.
class Replica {
 public:
  Replica(LocalNetwork& network, SharedOrder& order, const std::string& name)
      : name_(name),
        cluster_(network.Join(name)),
        relay_(*cluster_, clock_),
        node_(2, Options(name), [&](auto& shards, TopicIndex& index, auto) {
          auto broker = std::make_unique<LocalBroker>(order, relay_, shards, index);
          broker_ = broker.get();
          return broker;
        }) {
    relay_.set_delivered([this](std::string_view topic) { return broker_->Delivered(topic); });
  }
  // As a process that is killed, unless it said goodbye.
  ~Replica() {
    cluster_->Stop(false);
    for (auto& shard : node_.shards()) shard->Stop();  // as Server does: they post to the executor
  }

  const std::string& name() const { return name_; }
  ClusterNode& cluster() { return *cluster_; }
  ReceiptRelay& relay() { return relay_; }
  ReceiptClock& clock() { return clock_; }
  Node& node() { return node_; }
  LocalBroker& broker() { return *broker_; }
  CommandRunner& runner() { return runner_; }
  Questions& questions() { return questions_; }
  EventHub& events() { return events_; }
  Idempotency& memory() { return memory_; }
  SessionFence& fence() { return fence_; }
  BanList& bans() { return bans_; }
  BanExchange& ban_exchange() { return ban_exchange_; }
  // As a producer opens one at this node.
  std::shared_ptr<PushStream> OpenStream() {
    return std::make_shared<PushStream>(IdempotentRunner(runner_, memory_, "", &moves_),
                                        node_.shards(), executor_, 10'000, calls_, "");
  }
  std::string IdOf(const RecordingSession& session) const { return session.id().ToString(name_); }

 private:
  static ShardOptions Options(const std::string& name) {
    ShardOptions options;
    options.node = name;
    options.max_topics_per_session = 4;
    return options;
  }

  v1::NodeInfo Describe() {
    v1::NodeInfo info;
    info.set_node(name_);
    info.set_commands_total(runner_.commands());
    return info;
  }

  const std::string name_;
  CallMemory calls_{1u << 30};
  ReceiptClock clock_;
  std::unique_ptr<ClusterNode> cluster_;
  ReceiptRelay relay_;
  LocalBroker* broker_ = nullptr;
  Node node_;
  BanList bans_{/*max_bans=*/4};
  BanExchange ban_exchange_{*cluster_, bans_};
  CommandRunner runner_{node_.broker(), node_.table(), clock_, name_, 1024, 4, &bans_};
  ClusterCommands commands_{*cluster_, relay_, runner_, node_.table()};
  Idempotency memory_{absl::Minutes(2), 100'000};
  ProducerMoves moves_{*cluster_, memory_};
  SessionFence fence_{*cluster_, node_.table()};
  EventHub events_{1000, 1 << 20};
  EventExchange exchange_{*cluster_, events_};
  Executor executor_;
  Questions questions_{node_.table(), name_,         "local", [this] { return Describe(); },
                       executor_,     cluster_.get()};
};

// Three nodes: a, b, c.
class ReplicasTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (Replica* replica : {&a_, &b_, &c_}) ASSERT_TRUE(replica->cluster().Start().ok());
    for (Replica* replica : {&a_, &b_, &c_}) {
      std::set<std::string> others{"a", "b", "c"};
      others.erase(replica->name());
      ASSERT_TRUE(WaitPeers(replica->cluster(), others));
    }
  }
  void TearDown() override {
    // None may be told what another is taking apart.
    for (Replica* replica : {&a_, &b_, &c_}) replica->cluster().Stop(false);
  }

  static v1::CommandResult Run(Replica& at, const v1::Command& command,
                               CommandRunner::Context context = {}) {
    Awaited<v1::CommandResult> result;
    at.runner().Run(command, context, result.callback());
    return result.Get();
  }

  LocalNetwork network_;
  SharedOrder order_;
  Replica a_{network_, order_, "a"}, b_{network_, order_, "b"}, c_{network_, order_, "c"};
};

}  // namespace herald
