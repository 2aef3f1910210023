#include "broker/nats_broker.h"

#include "absl/time/clock.h"
#include "broker/nats_accounting.h"

namespace herald {

NatsBroker::NatsBroker(NatsConnection& connection, std::vector<std::unique_ptr<Shard>>& shards,
                       TopicIndex& index, std::shared_ptr<const TopicRules> rules,
                       NatsBrokerOptions options)
    : connection_(connection),
      shards_(shards),
      index_(index),
      rules_(std::move(rules)),
      options_(std::move(options)),
      subjects_(options_.prefix, options_.partitions),
      verifying_(
          std::make_unique<std::atomic<bool>[]>(static_cast<std::size_t>(options_.partitions))) {
  for (int i = 0; i < options_.partitions; ++i) {
    streams_.push_back(std::make_shared<NatsStream>(connection_, subjects_, i, options_.stream));
  }
  if (options_.relay != nullptr)
    options_.relay->set_delivered([this](std::string_view topic) { return Delivered(topic); });
  connection_.WatchState([this](bool connected) { OnState(connected); });
  connection_.WatchDrops([this] { check_all_.store(true, std::memory_order_relaxed); });
}

NatsBroker::~NatsBroker() { connection_.Close(); }

absl::Status NatsBroker::Open(absl::Duration timeout) {
  for (int i = 0; i < options_.partitions; ++i) {
    connection_.Subscribe(subjects_.Doubt(i), *this);
    connection_.Subscribe(subjects_.Advisories(i), *this);
  }
  const absl::Time until = absl::Now() + timeout;
  for (int i = 0; i < options_.partitions; ++i) {
    for (;;) {
      absl::Status status;
      bool answered = false;
      Mutex mutex;
      streams_[static_cast<std::size_t>(i)]->Verify(
          [&](absl::StatusOr<NatsStream::Verdict> verdict) {
            MutexLock lock(mutex);
            status = verdict.status();
            if (status.ok()) streams_[static_cast<std::size_t>(i)]->Trust();
            answered = true;
          });
      for (;;) {
        absl::SleepFor(absl::Milliseconds(2));
        MutexLock lock(mutex);
        if (answered) break;
      }
      if (status.ok()) break;
      const bool may_pass = absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
      if (!may_pass || absl::Now() > until) return status;
      absl::SleepFor(absl::Milliseconds(250));
    }
  }
  return absl::OkStatus();
}

void NatsBroker::Subscribe(Shard& shard, const std::string& topic, std::optional<Position> since,
                           std::uint64_t max_subscribers, SubscribeDone done) {
  if (!index_.Add(topic, shard.index(), max_subscribers)) {
    done(absl::ResourceExhaustedError("the topic has as many subscribers as it may have"));
    return;
  }
  bool fresh = false;
  {
    Stripe& stripe = StripeOf(topic);
    MutexLock lock(stripe.mutex);
    std::unique_ptr<NatsTopic>& entry = stripe.topics[topic];
    if (!entry) {
      entry = MakeTopic(topic);
      connection_.Subscribe(subjects_.Live(topic), *this);
      fresh = true;
    }
    entry->idle_since = absl::InfiniteFuture();
    entry->waiting.push_back({&shard, since, std::move(done), absl::Now() + kJoinTimeout});
    if (entry->state == State::kLive) Serve(topic, *entry);
  }
  if (fresh) JoinSoon(topic);
}

std::unique_ptr<NatsTopic> NatsBroker::MakeTopic(const std::string& name) const {
  const TopicRule rule = rules_->Find(name);
  return std::make_unique<NatsTopic>(rule.history_size > 0, subjects_.PartitionOf(name),
                                     HistorySize(rule), rule.history_ttl);
}

void NatsBroker::ChangeRules(const TopicRules& next, absl::FunctionRef<void()> change) {
  const bool same = KeepSameTopics(*rules_, next);
  change();
  const absl::Time now = absl::Now();
  for (Stripe& stripe : stripes_) {
    MutexLock lock(stripe.mutex);
    for (auto& [name, topic] : stripe.topics) {
      const TopicRule rule = rules_->Find(name);
      topic->history_size = HistorySize(rule);
      topic->history_ttl = rule.history_ttl;
      {
        Accounting accounting(history_bytes_, topic->log);
        topic->log.SetLimits(topic->history_size, rule.history_ttl, now);
      }
      if (topic->history == (rule.history_size > 0)) continue;
      topic->history = rule.history_size > 0;
      StartOver(name, *topic, NotRecovered::kEpoch);
    }
  }
  if (same) return;
  for (int i = 0; i < options_.partitions; ++i) {
    streams_[static_cast<std::size_t>(i)]->Doubt();
    streams_[static_cast<std::size_t>(i)]->Renew([this, i](absl::Status) { Verify(i); });
  }
}

void NatsBroker::Unsubscribe(Shard& shard, const std::string& topic) {
  index_.Remove(topic, shard.index());
  if (index_.Find(topic).subscribers > 0) return;
  Stripe& stripe = StripeOf(topic);
  MutexLock lock(stripe.mutex);
  const auto it = stripe.topics.find(topic);
  if (it != stripe.topics.end() && index_.Find(topic).subscribers == 0)
    it->second->idle_since = absl::Now();
}

Broker::Counters NatsBroker::counters() const {
  const auto value = [](const std::atomic<std::uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  std::uint64_t epochs = 0;
  for (const auto& stream : streams_) epochs += stream->epoch_changes();
  return {{"nats_reconnects", connection_.reconnects()},
          {"nats_dropped", connection_.dropped()},
          {"nats_not_permitted", connection_.refusals()},
          {"nats_repairs", value(repairs_)},
          {"nats_repaired_messages", value(repaired_)},
          {"nats_gaps", value(gaps_)},
          {"nats_contradictions", value(contradictions_)},
          {"nats_replays", value(replays_)},
          {"nats_checks", value(checks_)},
          {"nats_refused_publications", value(refused_)},
          {"nats_full", value(full_)},
          {"nats_epoch_changes", epochs}};
}

void NatsBroker::EverySecond(absl::Time now) {
  // At most so many topics a second are asked for their last message.
  constexpr std::size_t kChecks = 2'000;
  ++seconds_;
  if (connection_.connected()) {
    for (int i = 0; i < options_.partitions; ++i) {
      if (seconds_ % 2 == 0 || streams_[static_cast<std::size_t>(i)]->doubted()) Verify(i);
    }
  }
  std::size_t budget = connection_.connected() ? kChecks : 0;
  const bool check_all = check_all_.exchange(false, std::memory_order_relaxed);
  std::vector<std::string> to_join;
  for (std::size_t i = 0; i < kStripes; ++i) {
    Stripe& stripe = stripes_[(seconds_ + i) % kStripes];  // so that the budget goes round
    MutexLock lock(stripe.mutex);
    absl::erase_if(stripe.topics, [&](auto& entry) {
      NatsTopic& topic = *entry.second;
      if (topic.idle_since + kLinger < now && topic.waiting.empty()) {
        Accounting(history_bytes_, topic.log).Drop();
        connection_.Unsubscribe(subjects_.Live(entry.first));
        return true;
      }
      if (check_all) topic.checked = absl::InfinitePast();
      Look(entry.first, topic, now, budget);
      if (topic.state == State::kJoining && !topic.busy) to_join.push_back(entry.first);
      return false;
    });
  }
  if (connection_.connected()) {
    for (std::string& name : to_join) JoinSoon(std::move(name));
  }
  ForgetSent(now - absl::Seconds(10));
}

}  // namespace herald
