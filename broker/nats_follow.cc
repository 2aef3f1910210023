// How a topic comes to be followed, and is again after NATS was away.
#include <algorithm>

#include "absl/time/clock.h"
#include "broker/nats_accounting.h"
#include "broker/nats_broker.h"

namespace herald {
namespace {

// How often a topic's last message is asked for, where there are not too many topics.
constexpr absl::Duration kCheckEvery = absl::Seconds(4);
constexpr absl::Duration kEchoTimeout = absl::Seconds(3);
constexpr int kMaxPuzzled = 5;

}  // namespace

void NatsBroker::OnState(bool connected) {
  if (connected) {
    returned_unix_ms_.store(absl::ToUnixMillis(absl::Now()), std::memory_order_relaxed);
    for (int i = 0; i < options_.partitions; ++i) Verify(i);
    return;
  }
  for (const auto& stream : streams_) stream->Doubt();
  for (Stripe& stripe : stripes_) {
    MutexLock lock(stripe.mutex);
    for (auto& [name, topic] : stripe.topics) {
      // Core subscriptions come back with the connection.
      if (!topic->history && topic->state == State::kLive) continue;
      topic->state = State::kJoining;
      topic->generation = NewGeneration();
      topic->busy = false;
      topic->replay = 0;
      topic->held.clear();  // it is in the stream
    }
  }
}

void NatsBroker::Verify(int partition) {
  std::atomic<bool>& verifying = verifying_[static_cast<std::size_t>(partition)];
  if (verifying.exchange(true)) return;
  streams_[static_cast<std::size_t>(partition)]->Verify(
      [this, partition](absl::StatusOr<NatsStream::Verdict> verdict) {
        OnVerified(partition, verdict);
        verifying_[static_cast<std::size_t>(partition)].store(false);
        // Doubted again meanwhile: what has been found may be of before.
        const bool told = verdict.ok() && *verdict != NatsStream::Verdict::kUnsure;
        if (told && streams_[static_cast<std::size_t>(partition)]->doubted()) Verify(partition);
      });
}

void NatsBroker::OnVerified(int partition, absl::StatusOr<NatsStream::Verdict> verdict) {
  NatsStream& stream = *streams_[static_cast<std::size_t>(partition)];
  // Asked again every second until it can be told.
  if (!verdict.ok() || *verdict == NatsStream::Verdict::kUnsure) return stream.Doubt();
  // Before it is trusted, or what comes of the new stream would be taken for the old one's.
  if (*verdict == NatsStream::Verdict::kNewEpoch) {
    options_.on_new_log(stream.name());
    ForEachTopicOf(partition, [&](const std::string& name, NatsTopic& topic) {
      if (topic.history) StartOver(name, topic, NotRecovered::kEpoch);
    });
  }
  stream.Trust();
  std::vector<std::string> to_join;
  ForEachTopicOf(partition, [&](const std::string& name, NatsTopic& topic) {
    if (topic.state == State::kJoining && !topic.busy) to_join.push_back(name);
    if (topic.state == State::kRepairing && !topic.busy) Repair(name, topic, topic.repair_target);
    // What came and who came while it was doubted.
    if (topic.state != State::kLive || !topic.history) return;
    if (!topic.held.empty()) {
      GoLive(name, topic);
    } else if (topic.replay == 0 && !topic.waiting.empty()) {
      Serve(name, topic);
    }
  });
  for (std::string& name : to_join) JoinSoon(std::move(name));
}

void NatsBroker::JoinSoon(std::string name) {
  {
    MutexLock lock(joins_mutex_);
    to_join_.push_back(std::move(name));
  }
  PumpJoins();
}

void NatsBroker::PumpJoins() {
  for (;;) {
    std::string name;
    {
      MutexLock lock(joins_mutex_);
      if (joining_ >= kMaxJoining || to_join_.empty()) return;
      name = std::move(to_join_.front());
      to_join_.pop_front();
      ++joining_;
    }
    Join(name);
  }
}

void NatsBroker::Join(const std::string& name) {
  const auto joined = [this] {
    MutexLock lock(joins_mutex_);
    --joining_;
  };
  Stripe& stripe = StripeOf(name);
  MutexLock lock(stripe.mutex);
  const auto it = stripe.topics.find(name);
  if (it == stripe.topics.end() || it->second->state != State::kJoining || it->second->busy)
    return joined();
  NatsTopic& topic = *it->second;
  NatsStream& stream = StreamOf(topic);
  const auto returned = absl::FromUnixMillis(returned_unix_ms_.load(std::memory_order_relaxed));
  // OnVerified or EverySecond come back to it.
  if (topic.history && (stream.doubted() || absl::Now() < returned + kSettle)) return joined();
  topic.busy = true;
  const std::uint64_t generation = topic.generation = NewGeneration();
  if (!topic.history) {
    // The echo proves that the server knows of the subscription.
    return connection_.Echo(kEchoTimeout, [this, joined, name, generation](absl::Status status) {
      joined();
      With(name, generation, [&](NatsTopic& topic) {
        topic.busy = false;
        if (status.ok()) GoLive(name, topic);
      });
      PumpJoins();
    });
  }
  // The leader's answer comes after the subscription has reached it, so what is newer comes live. If
  // it has nothing of the topic, then not before the head as it is known now either.
  stream.GetLast(name, NatsStream::From::kLeader,
                 [this, joined, name, generation,
                  head = stream.head()](absl::StatusOr<NatsStream::Fetched> last) {
                   joined();
                   OnJoined(name, generation, head, std::move(last));
                   PumpJoins();
                 });
}

void NatsBroker::OnJoined(const std::string& name, std::uint64_t generation, const Position& head,
                          absl::StatusOr<NatsStream::Fetched> last) {
  With(name, generation, [&](NatsTopic& topic) {
    NatsStream& stream = StreamOf(topic);
    topic.busy = false;
    const bool none = absl::IsNotFound(last.status());
    if ((!last.ok() && !none) || stream.epoch() != head.epoch) return;  // asked again soon
    const Position newest = none ? head : Position{head.epoch, last->sequence, last->message.fence};
    stream.Saw(newest);
    if (!topic.known() && !none && topic.deliver_from > 0 && topic.deliver_from <= newest.offset)
      return StartFrom(name, topic, topic.deliver_from, newest.offset);
    if (!topic.known()) {
      Accounting accounting(history_bytes_, topic.log);
      topic.StartAt(newest, /*head=*/none);
      return GoLive(name, topic);
    }
    const Position& current = topic.log.current();
    if (newest == current) return GoLive(name, topic);
    if (newest.offset > current.offset && !none) return Repair(name, topic, newest.offset);
    // The stream is behind what it has given out: it went back, or has let go of all of the topic's
    // messages, or whoever answered is behind.
    if (!topic.at_head && topic.accused != current.offset) {
      topic.accused = current.offset;
      return Accuse(topic, current);
    }
    if (none) return GoLive(name, topic);
    if (++topic.puzzled < kMaxPuzzled) return;
    topic.lost = NotRecovered::kRollback;
    Accounting accounting(history_bytes_, topic.log);
    topic.StartAt(newest, /*head=*/false);
    GoLive(name, topic);
  });
}

void NatsBroker::StartFrom(const std::string& name, NatsTopic& topic, std::uint64_t first,
                           std::uint64_t newest) {
  topic.busy = true;
  const std::uint64_t generation = topic.generation = NewGeneration();
  NatsStream& stream = StreamOf(topic);
  // Whoever resumes from the place before `first` has to name the nonce of the message there.
  stream.GetAt(first - 1, [this, name, generation, newest, first, epoch = stream.epoch()](
                              const absl::StatusOr<NatsStream::Fetched>& fetched) {
    Position before = NatsStream::StartOf(epoch);
    if (first > 1) before = {epoch, first - 1, fetched.ok() ? fetched->message.fence : 0};
    With(name, generation, [&](NatsTopic& topic) {
      topic.busy = false;
      const bool answered = fetched.ok() || absl::IsNotFound(fetched.status()) || first == 1;
      if (!answered || StreamOf(topic).epoch() != epoch) return;  // joined again soon
      {
        Accounting accounting(history_bytes_, topic.log);
        topic.StartAt(before, /*head=*/true);
      }
      if (topic.lost != NotRecovered::kNone) TellGap(name, topic, topic.lost);
      Repair(name, topic, newest);
    });
  });
}

void NatsBroker::StartOver(const std::string& name, NatsTopic& topic, NotRecovered reason) {
  if (topic.known() && index_.Find(name).subscribers > 0) topic.lost = reason;
  {
    Accounting accounting(history_bytes_, topic.log);
    topic.StartAt({}, /*head=*/false);
  }
  topic.state = State::kJoining;
  topic.generation = NewGeneration();
  topic.busy = false;
  topic.replay = 0;
  // What is stored from now on, and what has come already, follows the gap.
  if (topic.deliver_from == 0) topic.deliver_from = StreamOf(topic).head().offset + 1;
  for (const NatsTopic::Held& held : topic.held)
    topic.deliver_from = std::min(topic.deliver_from, held.sequence);
  topic.held.clear();
}

void NatsBroker::Look(const std::string& name, NatsTopic& topic, absl::Time now,
                      std::size_t& budget) {
  GiveUpLate(name, topic, now);
  if (!connection_.connected()) return;
  if (topic.state == State::kRepairing && !topic.busy && !StreamOf(topic).doubted())
    Repair(name, topic, topic.repair_target);
  if (topic.state != State::kLive || !topic.history) return;
  if (topic.replay == 0 && !topic.waiting.empty()) Serve(name, topic);
  {
    Accounting accounting(history_bytes_, topic.log);
    topic.log.Expire(now);
  }
  if (budget > 0 && topic.checked + kCheckEvery < now &&
      topic.idle_since == absl::InfiniteFuture()) {
    --budget;
    topic.checked = now;
    Check(name, topic);
  }
}

void NatsBroker::Check(const std::string& name, NatsTopic& topic) {
  checks_.fetch_add(1, std::memory_order_relaxed);
  NatsStream& stream = StreamOf(topic);
  const Position asked = topic.log.current();
  auto checked = [this, name, asked,
                  generation = topic.generation](const absl::StatusOr<NatsStream::Fetched>& last) {
    if (!last.ok() && !absl::IsNotFound(last.status())) return;
    With(name, generation, [&](NatsTopic& topic) {
      // The topic has no message any more: 0.
      OnChecked(name, topic, asked,
                last.ok() ? Position{asked.epoch, last->sequence, last->message.fence}
                          : Position{asked.epoch});
    });
  };
  stream.GetLast(
      name, NatsStream::From::kAny,
      [&stream, name, asked, checked](const absl::StatusOr<NatsStream::Fetched>& last) mutable {
        const bool same =
            last.ok() && last->sequence == asked.offset && last->message.fence == asked.fence;
        if (!same) stream.GetLast(name, NatsStream::From::kLeader, std::move(checked));
      });
}

void NatsBroker::OnChecked(const std::string& name, NatsTopic& topic, const Position& asked,
                           const Position& newest) {
  const Position& current = topic.log.current();
  if (topic.state != State::kLive || StreamOf(topic).doubted() || asked.epoch != current.epoch) {
    topic.suspect = 0;
    return;
  }
  if (newest.offset <= current.offset) {
    topic.suspect = 0;
    if (topic.at_head || newest.offset > asked.offset || newest == asked) return;
    // The leader's log ends before what was delivered, or has another message there. Messages that
    // the stream has let go of are looked for once.
    if (newest.offset < asked.offset && topic.accused == asked.offset) return;
    topic.accused = asked.offset;
    return Accuse(topic, asked);
  }
  if (topic.suspect == 0 || topic.suspect <= current.offset) {
    // It may be on its way: looked at again in a second.
    topic.suspect = newest.offset;
    topic.checked = absl::Now() - kCheckEvery;
    return;
  }
  topic.suspect = 0;
  Repair(name, topic, newest.offset);
}

}  // namespace herald
