#include "broker/memory_broker.h"

#include <algorithm>

#include "absl/hash/hash.h"
#include "absl/time/clock.h"
#include "session/random.h"

namespace herald {
namespace {

// Never 0, which means "no position".
std::uint64_t NewEpoch() { return RandomUint64() | 1; }

}  // namespace

MemoryBroker::MemoryBroker(std::vector<std::unique_ptr<Shard>>& shards, TopicIndex& index,
                           std::shared_ptr<const TopicRules> rules, std::size_t max_history_bytes)
    : shards_(shards),
      index_(index),
      rules_(std::move(rules)),
      max_history_bytes_(max_history_bytes),
      max_forgotten_(std::clamp(max_history_bytes / kForgottenPart, kMinForgotten, kMaxForgotten)) {
  for (Stripe& stripe : stripes_) {
    MutexLock lock(stripe.mutex);
    stripe.epoch = NewEpoch();
  }
}

MemoryBroker::RankedLog* MemoryBroker::LogOf(Stripe& stripe, std::string_view topic) {
  auto it = stripe.logs.find(topic);
  if (it != stripe.logs.end()) return it->get();
  const TopicRule& rule = rules_->Find(topic);
  if (rule.history_size == 0) return nullptr;
  auto log = std::make_unique<RankedLog>(topic, StartOf(stripe, topic), rule.history_size,
                                         rule.history_ttl);
  stripe.forgotten.erase(StringHash{}(topic));
  return stripe.logs.insert(std::move(log)).first->get();
}

Position MemoryBroker::StartOf(const Stripe& stripe, std::string_view topic) const {
  const std::size_t hash = StringHash{}(topic);
  const auto known = stripe.forgotten.find(hash);
  if (known != stripe.forgotten.end()) return known->second;
  return {stripe.epoch, 0, absl::HashOf(stripe.epoch, hash)};
}

void MemoryBroker::Count(Stripe& stripe, RankedLog& log, std::size_t cost) {
  const std::size_t before = std::exchange(log.counted, cost);
  if (cost == before) return;
  history_bytes_.fetch_add(cost - before, std::memory_order_relaxed);  // wraps where it shrinks
  Share& share = *log.share;
  share.owner.bytes.fetch_add(cost - before, std::memory_order_relaxed);
  share.by_size.Update(log, cost);
  share.owner.highest[IndexOf(stripe)].store(share.by_size.highest(), std::memory_order_relaxed);
}

void MemoryBroker::SetOwner(Stripe& stripe, RankedLog& log, OwnerId owner) {
  if (log.share != nullptr && log.owner == owner) return;
  Share*& share = stripe.share_of[owner];
  if (share == nullptr) {
    Owner& of = owners_.Of(owner);
    std::unique_ptr<Share>& made = stripe.shares[&of];
    if (!made) made.reset(new Share{of, {}});
    share = made.get();
  }
  const auto move = [&](Share& to, std::size_t bytes, std::uint64_t difference) {
    to.by_size.Update(log, bytes);
    to.owner.bytes.fetch_add(difference, std::memory_order_relaxed);
    to.owner.highest[IndexOf(stripe)].store(to.by_size.highest(), std::memory_order_relaxed);
  };
  if (log.share != nullptr) move(*log.share, 0, -std::uint64_t{log.counted});
  log.share = share;
  log.owner = owner;
  move(*share, log.counted, log.counted);
}

void MemoryBroker::EvictTo(std::uint64_t max_bytes) {
  while (history_bytes() > max_bytes && EvictFromLargest(max_bytes)) {
  }
}

bool MemoryBroker::EvictFromLargest(std::uint64_t max_bytes) {
  Owner* const owner =
      owners_.Largest([](const Owner& one) { return one.bytes.load(std::memory_order_relaxed); });
  if (owner == nullptr) return false;
  std::size_t largest = 0;
  std::uint8_t rank = 0;
  for (std::size_t i = 0; i < kStripes; ++i) {
    const std::uint8_t highest = owner->highest[i].load(std::memory_order_relaxed);
    if (highest > rank) rank = highest, largest = i;
  }
  if (rank == 0) return true;  // another thread was faster
  Stripe& stripe = stripes_[largest];
  MutexLock lock(stripe.mutex);
  const auto share = stripe.shares.find(owner);
  RankedLog* const log = share == stripe.shares.end() ? nullptr : share->second->by_size.Largest();
  if (log == nullptr) return true;  // another thread was faster
  const std::size_t before = log->bytes();
  const std::size_t half = before / 2;
  const std::uint64_t all = history_bytes();
  // Down to half at most: then another one may be the largest.
  std::uint64_t evicted = 0;
  while (!log->empty() &&
         (evicted == 0 || (log->bytes() > half && all - (before - log->bytes()) > max_bytes))) {
    log->PopOldest();
    ++evicted;
  }
  evicted_.fetch_add(evicted, std::memory_order_relaxed);
  if (!log->empty()) {
    Recount(stripe, *log);
  } else {
    Forget(stripe, *log);
    stripe.logs.erase(stripe.logs.find(log->topic));
  }
  return true;
}

void MemoryBroker::Subscribe(Shard& shard, const std::string& topic, std::optional<Position> since,
                             std::uint64_t max_subscribers, SubscribeDone done) {
  FeedStart start;
  bool full = false;
  {
    Stripe& stripe = StripeOf(topic);
    MutexLock lock(stripe.mutex);
    full = !index_.Add(topic, shard.index(), max_subscribers);
    if (full) {
      // Answered below, without the lock.
    } else if (HasHistory(topic)) {
      const auto it = stripe.logs.find(topic);
      // Most personal topics have had no message: what needs no log gets none.
      TopicLog none(StartOf(stripe, topic), 0, absl::ZeroDuration());
      TopicLog& log = it != stripe.logs.end() ? **it : none;
      start.position = log.current();
      if (since) {
        TopicLog::Missed missed = log.After(*since, absl::Now());
        if (it != stripe.logs.end()) Recount(stripe, **it);
        start.reason = missed.reason;
        start.recovered = missed.reason == NotRecovered::kNone;
        start.missed = std::move(missed.messages);
      }
    } else if (since) {
      start.reason = NotRecovered::kExpired;  // the topic keeps no history (any more)
    }
  }
  if (full) {
    done(absl::ResourceExhaustedError("the topic has as many subscribers as it may have"));
  } else {
    done(std::move(start));
  }
}

void MemoryBroker::Unsubscribe(Shard& shard, const std::string& topic) {
  index_.Remove(topic, shard.index());
}

Published MemoryBroker::PublishNow(Publication publication) {
  Published published;
  {
    Stripe& stripe = StripeOf(publication.topic);
    MutexLock lock(stripe.mutex);
    RankedLog* log = publication.keep ? LogOf(stripe, publication.topic) : nullptr;
    if (log != nullptr) SetOwner(stripe, *log, publication.owner);
    const TopicIndex::Found found = index_.Find(publication.topic);
    published.matched = found.subscribers;
    if (log != nullptr || found.shards != 0) {
      if (log != nullptr) published.position = log->Next();
      auto message =
          std::make_shared<const Message>(std::move(publication.body), std::move(publication.topic),
                                          published.position, std::move(publication.options));
      if (log != nullptr) {
        log->Append(message, absl::FromUnixMillis(message->body().accepted_unix_ms));
        Recount(stripe, *log);
      }
      for (std::uint64_t left = found.shards; left != 0; left &= left - 1) {
        if (publication.tally) publication.tally->Expect();
        if (Receipt* receipt = message->receipt()) receipt->Hold();
        shards_[static_cast<std::size_t>(std::countr_zero(left))]->Deliver(
            message, publication.except, publication.tally);
      }
    }
  }
  EvictTo(max_history_bytes_);
  if (publication.tally) publication.tally->Answer(0);
  return published;
}

void MemoryBroker::Forget(Stripe& stripe, RankedLog& log) {
  Count(stripe, log, 0);
  const std::size_t hash = StringHash{}(log.topic);
  if (stripe.forgotten.insert_or_assign(hash, log.current()).second)
    stripe.forgotten_order.push_back(hash);
  // Some in the order have come back since: they go with their turn.
  while (stripe.forgotten_order.size() > max_forgotten_ / stripes_.size()) {
    if (stripe.forgotten.erase(stripe.forgotten_order.front()) > 0) stripe.epoch = NewEpoch();
    stripe.forgotten_order.pop_front();
  }
  forgotten_.fetch_add(1, std::memory_order_relaxed);
}

void MemoryBroker::Read(ReadRequest request, ReadDone done) {
  ReadResult result;
  {
    Stripe& stripe = StripeOf(request.topic);
    MutexLock lock(stripe.mutex);
    auto it = stripe.logs.find(request.topic);
    if (it == stripe.logs.end()) {
      if (HasHistory(request.topic)) result.current = StartOf(stripe, request.topic);
      result.complete = !request.since || *request.since == result.current;
    } else {
      RankedLog& log = **it;
      const absl::Time now = absl::Now();
      if (request.since)
        result.complete = log.After(*request.since, now).reason == NotRecovered::kNone;
      result.messages = log.Read(request.since, request.limit, request.reverse, now);
      result.current = log.current();
      Recount(stripe, log);
    }
  }
  done(std::move(result));
}

void MemoryBroker::ChangeRules(const TopicRules& next, absl::FunctionRef<void()> change) {
  // Before any log is made by the new rules.
  if (!KeepSameTopics(*rules_, next)) {
    for (Stripe& stripe : stripes_) {
      MutexLock lock(stripe.mutex);
      stripe.epoch = NewEpoch();
      stripe.forgotten.clear();
      stripe.forgotten_order.clear();
    }
  }
  change();
  const absl::Time now = absl::Now();
  for (Stripe& stripe : stripes_) {
    MutexLock lock(stripe.mutex);
    absl::erase_if(stripe.logs, [&](const auto& entry) ABSL_NO_THREAD_SAFETY_ANALYSIS {
      RankedLog& log = *entry;
      const TopicRule& rule = rules_->Find(log.topic);
      log.SetLimits(rule.history_size, rule.history_ttl, now);
      Count(stripe, log, rule.history_size == 0 ? 0 : log.cost());
      return rule.history_size == 0;
    });
  }
}

void MemoryBroker::Sweep(absl::Time now, std::size_t stripes) {
  for (; stripes > 0; --stripes) {
    Stripe& stripe = stripes_[swept_++ % kStripes];
    MutexLock lock(stripe.mutex);
    absl::erase_if(stripe.logs, [&](const auto& entry) ABSL_NO_THREAD_SAFETY_ANALYSIS {
      RankedLog& log = *entry;
      log.Expire(now);
      const bool forget = log.empty() && log.last_used() + kForgotten < now &&
                          index_.Find(log.topic).subscribers == 0;
      if (forget) {
        Forget(stripe, log);
      } else {
        Recount(stripe, log);
      }
      return forget;
    });
  }
}

}  // namespace herald
