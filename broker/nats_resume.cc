// Who waits to be subscribed, and from where; and reading of histories.
#include <algorithm>

#include "absl/time/clock.h"
#include "broker/nats_accounting.h"
#include "broker/nats_broker.h"

namespace herald {
namespace {

MessagePtr ToMessage(const std::string& topic, std::uint64_t epoch, NatsStream::Fetched fetched) {
  return std::make_shared<const Message>(std::move(fetched.message.body), topic,
                                         Position{epoch, fetched.sequence, fetched.message.fence},
                                         std::move(fetched.message.options));
}

}  // namespace

void NatsBroker::Answer(NatsTopic::Waiter& waiter, absl::StatusOr<FeedStart> start) {
  // Behind all that was posted before the position, and before all that comes after it.
  waiter.shard->Post([done = std::move(waiter.done), start = std::move(start)]() mutable {
    done(std::move(start));
  });
}

void NatsBroker::Serve(const std::string& name, NatsTopic& topic) {
  // While it is not known whether the stream is still what it was, nobody is told that it is.
  if (topic.history && StreamOf(topic).doubted()) return;
  std::erase_if(topic.waiting, [&](NatsTopic::Waiter& waiter) {
    return ServeNow(topic, waiter, /*trusted=*/false);
  });
  if (!topic.waiting.empty() && topic.replay == 0) Replay(name, topic);
}

bool NatsBroker::ServeNow(NatsTopic& topic, NatsTopic::Waiter& waiter, bool trusted) {
  FeedStart start;
  start.position = topic.log.current();
  if (!waiter.since || !topic.history) {
    // The topic keeps no history (any more).
    if (waiter.since) start.reason = NotRecovered::kExpired;
    Answer(waiter, std::move(start));
    return true;
  }
  if (trusted && waiter.since->offset >= start.position.offset) {
    // A place in the stream behind the topic's last message; or one that has not come here yet, and is not
    // to come again to who has it.
    start.recovered = true;
    start.position = *waiter.since;
    Answer(waiter, std::move(start));
    return true;
  }
  Accounting accounting(history_bytes_, topic.log);
  TopicLog::Missed missed = topic.log.After(*waiter.since, absl::Now(), trusted);
  if (missed.reason != NotRecovered::kNone && missed.reason != NotRecovered::kEpoch && !trusted)
    return false;  // the stream may know more
  start.recovered = missed.reason == NotRecovered::kNone;
  start.reason = missed.reason;
  start.missed = std::move(missed.messages);
  Answer(waiter, std::move(start));
  return true;
}

void NatsBroker::Replay(const std::string& name, NatsTopic& topic) {
  replays_.fetch_add(1, std::memory_order_relaxed);
  const std::uint64_t replay = topic.replay = NewGeneration();
  CheckPosition(topic.partition, *topic.waiting.front().since,
                [this, name, replay](absl::StatusOr<NotRecovered> reason) {
                  WithReplay(name, replay, [&](NatsTopic& topic) {
                    if (!reason.ok()) {
                      topic.replay = 0;  // tried again within a second
                    } else if (*reason != NotRecovered::kNone) {
                      EndReplay(name, topic, *reason);
                    } else {
                      OnTrusted(name, topic);
                    }
                  });
                });
}

void NatsBroker::CheckPosition(int partition, const Position& position, CheckedDone done) {
  NatsStream& stream = *streams_[static_cast<std::size_t>(partition)];
  const bool gone = position.offset + 1 < stream.first_sequence();
  if (gone) {
    // Never inline: the caller holds a lock.
    return connection_.Echo(absl::Seconds(3), [done = std::move(done)](absl::Status) mutable {
      done(NotRecovered::kExpired);
    });
  }
  if (stream.Known(position)) {
    return connection_.Echo(absl::Seconds(3), [done = std::move(done)](absl::Status) mutable {
      done(NotRecovered::kNone);
    });
  }
  stream.GetAt(position.offset, [&stream, position, done = std::move(done)](
                                    absl::StatusOr<NatsStream::Fetched> fetched) mutable {
    if (fetched.ok() && fetched->message.fence == position.fence) {
      stream.Learn(position);
      return done(NotRecovered::kNone);
    }
    if (fetched.ok()) return done(NotRecovered::kRollback);
    if (!absl::IsNotFound(fetched.status())) return done(fetched.status());
    done(position.offset > stream.head().offset ? NotRecovered::kRollback : NotRecovered::kExpired);
  });
}

void NatsBroker::OnTrusted(const std::string& name, NatsTopic& topic) {
  // Who waited in front may have been given up meanwhile.
  if (topic.waiting.empty() || topic.state != State::kLive || !topic.waiting.front().since) {
    topic.replay = 0;
    if (topic.state == State::kLive) Serve(name, topic);
    return;
  }
  NatsTopic::Waiter& waiter = topic.waiting.front();
  if (waiter.since->offset >= topic.log.before_oldest().offset)
    return EndReplay(name, topic, NotRecovered::kNone);
  StreamOf(topic).ReadRange(
      name, {waiter.since->offset + 1, topic.log.before_oldest().offset, topic.history_size + 1},
      [this, name, replay = topic.replay, until = topic.log.before_oldest().offset](
          absl::StatusOr<std::vector<NatsStream::Fetched>> read) {
        WithReplay(name, replay, [&](NatsTopic& topic) {
          // What the cache has let go of meanwhile lies between, and is more than is kept.
          if (topic.log.before_oldest().offset > until)
            return EndReplay(name, topic, NotRecovered::kExpired);
          OnReplayed(name, topic, std::move(read));
        });
      });
}

void NatsBroker::OnReplayed(const std::string& name, NatsTopic& topic,
                            absl::StatusOr<std::vector<NatsStream::Fetched>> read) {
  if (!read.ok() || topic.waiting.empty() || topic.state != State::kLive ||
      !topic.waiting.front().since) {
    topic.replay = 0;
    if (topic.state == State::kLive && read.ok()) Serve(name, topic);
    return;
  }
  const Position since = *topic.waiting.front().since;
  // Of what the rule says that is kept, and the stream keeps longer.
  const std::int64_t oldest_ms = absl::ToUnixMillis(absl::Now() - topic.history_ttl);
  const bool aged = std::any_of(read->begin(), read->end(), [&](const NatsStream::Fetched& one) {
    return one.message.body->accepted_unix_ms < oldest_ms;
  });
  if (aged || read->size() > topic.history_size ||
      StreamOf(topic).first_sequence() > since.offset + 1) {
    return EndReplay(name, topic, NotRecovered::kExpired);
  }
  std::vector<MessagePtr> older;
  for (NatsStream::Fetched& fetched : *read)
    older.push_back(ToMessage(name, topic.log.current().epoch, std::move(fetched)));
  {
    Accounting accounting(history_bytes_, topic.log);
    topic.log.ExtendBack(std::move(older), since);
  }
  EndReplay(name, topic, NotRecovered::kNone);
}

void NatsBroker::EndReplay(const std::string& name, NatsTopic& topic, NotRecovered reason) {
  topic.replay = 0;
  if (topic.state != State::kLive || StreamOf(topic).doubted()) return;
  if (!topic.waiting.empty() && topic.waiting.front().since) {
    NatsTopic::Waiter& waiter = topic.waiting.front();
    if (reason == NotRecovered::kNone) {
      ServeNow(topic, waiter, /*trusted=*/true);
    } else {
      FeedStart start;
      start.position = topic.log.current();
      start.reason = reason;
      Answer(waiter, std::move(start));
    }
    topic.waiting.erase(topic.waiting.begin());
  }
  Serve(name, topic);
}

void NatsBroker::GiveUpLate(const std::string& name, NatsTopic& topic, absl::Time now) {
  std::erase_if(topic.waiting, [&](NatsTopic::Waiter& waiter) {
    if (waiter.deadline > now) return false;
    index_.Remove(name, waiter.shard->index());
    Answer(waiter, absl::UnavailableError("NATS is away: try again later"));
    return true;
  });
  if (topic.waiting.empty() && topic.idle_since == absl::InfiniteFuture() &&
      index_.Find(name).subscribers == 0) {
    topic.idle_since = now;
  }
}

void NatsBroker::Read(ReadRequest request, ReadDone done) {
  if (!HasHistory(request.topic)) {
    ReadResult result;
    result.complete = !request.since;
    return done(std::move(result));
  }
  const int partition = subjects_.PartitionOf(request.topic);
  const bool ours = request.since &&
                    request.since->epoch == streams_[static_cast<std::size_t>(partition)]->epoch();
  if (!ours) {
    const bool complete = !request.since;
    return ReadFrom(1, complete, std::move(request), std::move(done));
  }
  const Position since = *request.since;
  CheckPosition(partition, since,
                [this, since, request = std::move(request),
                 done = std::move(done)](absl::StatusOr<NotRecovered> reason) mutable {
                  if (!reason.ok()) return done(absl::UnavailableError(reason.status().message()));
                  ReadFrom(since.offset + 1, *reason == NotRecovered::kNone, std::move(request),
                           std::move(done));
                });
}

void NatsBroker::ReadFrom(std::uint64_t first, bool complete, ReadRequest request, ReadDone done) {
  const int partition = subjects_.PartitionOf(request.topic);
  NatsStream& stream = *streams_[static_cast<std::size_t>(partition)];
  const std::string topic = request.topic;
  stream.ReadRange(
      topic, {first, UINT64_MAX, options_.stream.max_messages_per_topic},
      [this, &stream, complete, head = stream.head(), request = std::move(request),
       done = std::move(done)](absl::StatusOr<std::vector<NatsStream::Fetched>> read) mutable {
        if (!read.ok()) return done(absl::UnavailableError(read.status().message()));
        const TopicRule rule = rules_->Find(request.topic);
        const absl::Time now = absl::Now();
        const std::int64_t now_ms = absl::ToUnixMillis(now);
        const std::int64_t oldest_ms = absl::ToUnixMillis(now - rule.history_ttl);
        ReadResult result;
        result.complete = complete;
        result.current = request.since && complete ? *request.since : head;
        for (NatsStream::Fetched& fetched : *read) {
          MessagePtr message = ToMessage(request.topic, stream.epoch(), std::move(fetched));
          result.current = message->position();
          if (message->body().accepted_unix_ms < oldest_ms) {
            if (request.since) result.complete = false;
          } else if (message->options() == nullptr || !message->options()->ExpiredAt(now_ms)) {
            result.messages.push_back(std::move(message));
          }
        }
        if (result.messages.size() > rule.history_size) {
          if (request.since) result.complete = false;
          result.messages.erase(result.messages.begin(), result.messages.end() - rule.history_size);
        }
        if (request.reverse) std::reverse(result.messages.begin(), result.messages.end());
        if (result.messages.size() > request.limit) result.messages.resize(request.limit);
        done(std::move(result));
      });
}

}  // namespace herald
