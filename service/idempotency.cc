#include "service/idempotency.h"

#include <algorithm>

#include "fmt/format.h"
#include "session/utf8.h"

namespace herald {
namespace {

constexpr std::size_t kMaxKeyBytes = 128;
// What one operation forgets at the most: more than it adds, so that nothing piles up.
constexpr std::size_t kExpireAtOnce = 4;
// What a sweep forgets before it lets others have the lock.
constexpr std::size_t kExpireInTurn = 1024;

v1::CommandResult Refusal(std::uint64_t seq, const absl::Status& status) {
  v1::CommandResult result;
  result.set_seq(seq);
  result.set_code(static_cast<int>(status.code()));
  result.set_detail(std::string(status.message()));
  return result;
}

absl::Status TooOld(std::uint64_t seq, std::uint64_t forgotten) {
  return absl::OutOfRangeError(fmt::format(
      "seq {} is older than what is remembered of this producer_id (up to {} may be forgotten, see "
      "idempotency_window): it may have been carried out before, and was not now",
      seq, forgotten));
}

absl::Status OtherCommand(bool of_producer_id, std::uint64_t seq) {
  return absl::AlreadyExistsError(
      of_producer_id
          ? fmt::format("seq {} of this producer_id has been used for another command", seq)
          : "this idempotency_key has been used for another command");
}

absl::Status Moved() {
  return absl::UnavailableError(
      "this producer_id has opened a stream at another replica: this stream is over");
}

// What repeats are answered, but for their seq.
std::string ToAnswer(v1::CommandResult& result) {
  const std::uint64_t seq = result.seq();
  const bool duplicate = result.duplicate();  // the broker may have known it as one
  result.clear_seq();
  result.set_duplicate(true);
  std::string answer = result.SerializeAsString();
  result.set_seq(seq);
  result.set_duplicate(duplicate);
  return answer;
}

}  // namespace

absl::Status CheckIdempotencyKey(std::string_view field, std::string_view key) {
  if (key.size() > kMaxKeyBytes) {
    return absl::InvalidArgumentError(
        fmt::format("{} has {} bytes, over the limit of {}", field, key.size(), kMaxKeyBytes));
  }
  if (!IsValidUtf8(key)) return absl::InvalidArgumentError(fmt::format("{} is not UTF-8", field));
  return absl::OkStatus();
}

Idempotency::Idempotency(absl::Duration window, std::size_t max_keys, Clock clock)
    : window_(absl::ToChronoNanoseconds(window)), max_keys_(max_keys), clock_(std::move(clock)) {}

Idempotency::~Idempotency() {
  // Those who wait may hold streams, which close when they go: while the stripes are there.
  std::vector<std::unique_ptr<std::vector<Waiter>>> waiters;
  for (Stripe& stripe : stripes_) {
    MutexLock lock(stripe.mutex);
    for (Entry& entry : stripe.running) waiters.push_back(std::move(entry.waiters));
  }
}

Idempotency::Stream Idempotency::Open(std::string_view name, std::string_view producer_id) {
  const Fingerprint id = FingerprintOf({name, producer_id});
  Stream stream;
  stream.owner_ = this;
  stream.stripe_ = &StripeOf(id);
  MutexLock lock(stream.stripe_->mutex);
  std::unique_ptr<Producer>& producer = stream.stripe_->producers[id];
  if (!producer) {
    producer = std::make_unique<Producer>();
    producer->id = id;
    producer->share = &ShareOf(*stream.stripe_, OwnerOf(name));
    producers_.fetch_add(1, std::memory_order_relaxed);
  }
  ++producer->streams;
  stream.producer_ = producer.get();
  stream.generation_ = producer->generation;
  return stream;
}

Idempotency::Share& Idempotency::ShareOf(Stripe& stripe, OwnerId id) {
  Share*& share = stripe.share_of[id];
  if (share == nullptr) {
    Owner& owner = owners_.Of(id);
    std::unique_ptr<Share>& made = stripe.shares[&owner];
    if (!made) made.reset(new Share{owner, {}, {}});
    share = made.get();
  }
  return *share;
}

void Idempotency::Close(Stream& stream) {
  MutexLock lock(stream.stripe_->mutex);
  --stream.producer_->streams;
  DropIfUnused(*stream.stripe_, *stream.producer_);
}

std::uint64_t Idempotency::LastSeq(const Stream& stream) {
  Stripe& stripe = *stream.stripe_;
  while (true) {
    MutexLock lock(stripe.mutex);
    Producer& producer = *stream.producer_;
    const TimePoint now = clock_();
    // Others may have the lock between.
    if (Expire(stripe, *producer.share, now, kExpireInTurn)) continue;
    producer.refused.Expire(now - window_.load(std::memory_order_relaxed));
    const auto& seqs = producer.seqs;
    std::uint64_t unsettled = producer.refused.first().value_or(0);
    if (!producer.unsettled.empty() && (unsettled == 0 || *producer.unsettled.begin() < unsettled))
      unsettled = *producer.unsettled.begin();
    if (unsettled == 0)
      return std::max(producer.forgotten, seqs.empty() ? 0 : seqs.rbegin()->first);
    // What succeeded just below it may be forgotten.
    if (producer.forgotten > unsettled) return unsettled - 1;
    const auto at = seqs.lower_bound(unsettled);
    return std::max(producer.forgotten, at == seqs.begin() ? 0 : std::prev(at)->first);
  }
}

Idempotency::Begun Idempotency::Begin(const Stream& stream, std::uint64_t seq,
                                      const Fingerprint& payload, OnWait on_wait) {
  return BeginKey(*stream.stripe_, 0, {stream.producer_, seq, {}, stream.generation_}, seq, payload,
                  nullptr, on_wait);
}

Idempotency::Begun Idempotency::Refuse(const Stream& stream, std::uint64_t seq,
                                       const Fingerprint& payload, const v1::CommandResult& refusal,
                                       OnWait on_wait) {
  return BeginKey(*stream.stripe_, 0, {stream.producer_, seq, {}, stream.generation_}, seq, payload,
                  &refusal, on_wait);
}

Idempotency::Begun Idempotency::Begin(std::string_view name, std::string_view key,
                                      std::uint64_t seq, const Fingerprint& payload,
                                      OnWait on_wait) {
  const Fingerprint text = FingerprintOf({name, key});
  return BeginKey(StripeOf(text), OwnerOf(name), {nullptr, 0, text}, seq, payload, nullptr,
                  on_wait);
}

Idempotency::Begun Idempotency::BeginKey(Stripe& stripe, OwnerId owner, Key key, std::uint64_t seq,
                                         const Fingerprint& payload,
                                         const v1::CommandResult* refusal, OnWait on_wait) {
  std::string answer;
  {
    MutexLock lock(stripe.mutex);
    const TimePoint now = clock_();
    key.share = key.producer != nullptr ? key.producer->share : &ShareOf(stripe, owner);
    Expire(stripe, *key.share, now, kExpireAtOnce);
    if (key.producer != nullptr && key.generation != key.producer->generation)
      return Refusal(seq, Moved());
    auto found = Find(stripe, key);
    if (found && (*found)->state == Entry::State::kSucceeded && Expired(**found, now)) {
      Forget(stripe, *found);
      found = std::nullopt;
    }
    if (!found) {
      if (key.producer != nullptr && seq <= key.producer->forgotten)
        return Refusal(seq, TooOld(seq, key.producer->forgotten));
      if (refusal != nullptr) {
        key.producer->refused.Add({seq, seq}, now);
        return *refusal;
      }
      return Ticket(stripe, Add(stripe, key, payload));
    }
    Entry& entry = **found;
    if (refusal != nullptr && entry.state == Entry::State::kFailed) return *refusal;
    if (entry.state == Entry::State::kFailed) {
      // Tried again, maybe as another command: nothing came of the first.
      entry.payload = payload;
      entry.state = Entry::State::kRunning;
      Uncount(stripe, entry);
      stripe.running.splice(stripe.running.end(), key.share->finished, *found);
      PublishOldest(stripe, *key.share);
      return Ticket(stripe, *found);
    }
    if (entry.payload != payload) return Refusal(seq, OtherCommand(key.producer != nullptr, seq));
    if (entry.state == Entry::State::kRunning) {
      if (!entry.waiters) entry.waiters = std::make_unique<std::vector<Waiter>>();
      entry.waiters->push_back({seq, on_wait()});
      return Wait{};
    }
    answer = entry.answer;
  }
  v1::CommandResult result;
  (void)result.ParseFromString(answer);  // our own bytes: they always parse
  result.set_seq(seq);
  duplicates_.fetch_add(1, std::memory_order_relaxed);
  return result;
}

void Idempotency::Finish(Ticket ticket, v1::CommandResult& result) {
  const bool succeeded = result.code() == 0;
  std::string answer;
  if (succeeded) answer = ToAnswer(result);
  Stripe& stripe = *ticket.stripe_;
  std::unique_ptr<std::vector<Waiter>> waiters;
  {
    MutexLock lock(stripe.mutex);
    const TimePoint now = clock_();
    Entry& entry = *ticket.entry_;
    Share& share = *entry.key.share;
    Expire(stripe, share, now, kExpireAtOnce);
    waiters = std::move(entry.waiters);
    if (Producer* producer = entry.key.producer; producer != nullptr || succeeded) {
      if (succeeded && producer != nullptr) producer->unsettled.erase(entry.key.seq);
      if (producer != nullptr && !producer->refused.empty())
        producer->refused.Remove(entry.key.seq);
      entry.state = succeeded ? Entry::State::kSucceeded : Entry::State::kFailed;
      entry.answer = std::move(answer);
      entry.finished = now;
      Count(stripe, entry);
      share.finished.splice(share.finished.end(), stripe.running, ticket.entry_);
      PublishOldest(stripe, share);
    } else {
      stripe.keys.erase(entry.key.text);
      stripe.running.erase(ticket.entry_);
    }
  }
  if (waiters) {
    for (Waiter& waiter : *waiters) {
      v1::CommandResult again = result;
      again.set_seq(waiter.seq);
      again.set_duplicate(succeeded);
      if (succeeded) duplicates_.fetch_add(1, std::memory_order_relaxed);
      waiter.done(std::move(again));
    }
  }
  while (cost_.load(std::memory_order_relaxed) > max_keys_ && Evict()) {
  }
}

void Idempotency::Sweep() {
  const TimePoint now = clock_();
  for (Stripe& stripe : stripes_) {
    std::vector<Share*> shares;  // they stay
    {
      MutexLock lock(stripe.mutex);
      for (const auto& [_, share] : stripe.shares) shares.push_back(share.get());
    }
    for (Share* share : shares) {
      for (bool more = true; more;) {
        MutexLock lock(stripe.mutex);
        more = Expire(stripe, *share, now, kExpireInTurn);
      }
    }
  }
}

std::optional<Idempotency::Entries::iterator> Idempotency::Find(Stripe& stripe, const Key& key) {
  if (key.producer != nullptr) {
    const auto found = key.producer->seqs.find(key.seq);
    if (found == key.producer->seqs.end()) return std::nullopt;
    return found->second;
  }
  const auto found = stripe.keys.find(key.text);
  if (found == stripe.keys.end()) return std::nullopt;
  return found->second;
}

Idempotency::Entries::iterator Idempotency::Add(Stripe& stripe, const Key& key,
                                                const Fingerprint& payload) {
  const auto entry = stripe.running.insert(stripe.running.end(), Entry{});
  entry->key = key;
  entry->payload = payload;
  if (key.producer != nullptr) {
    key.producer->seqs.emplace(key.seq, entry);
    key.producer->unsettled.insert(key.seq);
  } else {
    stripe.keys.emplace(key.text, entry);
  }
  return entry;
}

bool Idempotency::Expire(Stripe& stripe, Share& share, TimePoint now, std::size_t count) {
  for (; count > 0; --count) {
    if (share.finished.empty() || !Expired(share.finished.front(), now)) return false;
    Forget(stripe, share.finished.begin());
  }
  return true;
}

void Idempotency::Forget(Stripe& stripe, Entries::iterator entry) {
  const Key key = entry->key;
  const bool succeeded = entry->state == Entry::State::kSucceeded;
  Uncount(stripe, *entry);
  key.share->finished.erase(entry);
  PublishOldest(stripe, *key.share);
  if (key.producer == nullptr) {
    stripe.keys.erase(key.text);
    return;
  }
  Producer& producer = *key.producer;
  producer.seqs.erase(key.seq);
  if (succeeded) {
    producer.forgotten = std::max(producer.forgotten, key.seq);
  } else {
    producer.unsettled.erase(key.seq);
  }
  DropIfUnused(stripe, producer);
}

void Idempotency::DropIfUnused(Stripe& stripe, Producer& producer) {
  if (producer.streams > 0 || !producer.seqs.empty()) return;
  producers_.fetch_sub(1, std::memory_order_relaxed);
  stripe.producers.erase(Fingerprint(producer.id));
}

std::optional<Idempotency::History> Idempotency::LetGo(std::string_view name,
                                                       std::string_view producer_id,
                                                       std::size_t max) {
  const Fingerprint id = FingerprintOf({name, producer_id});
  Stripe& stripe = StripeOf(id);
  MutexLock lock(stripe.mutex);
  const auto found = stripe.producers.find(id);
  if (found == stripe.producers.end()) return History{};
  Producer& producer = *found->second;
  ++producer.generation;
  History history;
  history.forgotten = producer.forgotten;
  for (auto seq = producer.seqs.rbegin(); seq != producer.seqs.rend(); ++seq) {
    const Entry& entry = *seq->second;
    if (entry.state == Entry::State::kRunning) return std::nullopt;
    if (entry.state == Entry::State::kFailed) {
      history.failed.push_back(seq->first);
    } else if (history.done.size() < max) {
      history.done.push_back({seq->first, entry.payload, entry.answer});
    } else {
      history.forgotten = std::max(history.forgotten, seq->first);
    }
  }
  std::reverse(history.done.begin(), history.done.end());
  history.refused = producer.refused.List();
  return history;
}

void Idempotency::Adopt(const Stream& stream, History history) {
  Stripe& stripe = *stream.stripe_;
  {
    MutexLock lock(stripe.mutex);
    Producer& producer = *stream.producer_;
    const TimePoint now = clock_();
    producer.forgotten = std::max(producer.forgotten, history.forgotten);
    const auto put = [&](std::uint64_t seq, const Fingerprint& payload, std::string answer,
                         Entry::State state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(stripe.mutex) {
      auto known = producer.seqs.find(seq);
      if (known != producer.seqs.end()) {
        // Done is done, wherever; what is in flight here tells for itself.
        if (known->second->state != Entry::State::kFailed || state == Entry::State::kFailed) return;
        Forget(stripe, known->second);
      }
      const auto entry = Add(stripe, {&producer, seq, {}, 0, producer.share}, payload);
      entry->state = state;
      entry->answer = std::move(answer);
      entry->finished = now;
      if (state == Entry::State::kSucceeded) {
        producer.unsettled.erase(seq);
        producer.refused.Remove(seq);
      }
      Count(stripe, *entry);
      producer.share->finished.splice(producer.share->finished.end(), stripe.running, entry);
    };
    for (const SeqRange& range : history.refused) producer.refused.Add(range, now);
    for (History::Command& command : history.done)
      put(command.seq, command.payload, std::move(command.answer), Entry::State::kSucceeded);
    for (const std::uint64_t seq : history.failed) put(seq, {}, "", Entry::State::kFailed);
    PublishOldest(stripe, *producer.share);
  }
  while (cost_.load(std::memory_order_relaxed) > max_keys_ && Evict()) {
  }
}

void Idempotency::Count(Stripe& stripe, const Entry& entry) {
  keys_.fetch_add(1, std::memory_order_relaxed);
  cost_.fetch_add(entry.cost(), std::memory_order_relaxed);
  entry.key.share->owner.cost.fetch_add(entry.cost(), std::memory_order_relaxed);
  if (Producer* producer = entry.key.producer) {
    producer->cost += entry.cost();
    Rank(stripe, *producer);
  }
}

void Idempotency::Uncount(Stripe& stripe, const Entry& entry) {
  keys_.fetch_sub(1, std::memory_order_relaxed);
  cost_.fetch_sub(entry.cost(), std::memory_order_relaxed);
  entry.key.share->owner.cost.fetch_sub(entry.cost(), std::memory_order_relaxed);
  if (Producer* producer = entry.key.producer) {
    producer->cost -= entry.cost();
    Rank(stripe, *producer);
  }
}

void Idempotency::Rank(Stripe& stripe, Producer& producer) {
  Share& share = *producer.share;
  share.by_cost.Update(producer, producer.cost);
  share.owner.highest[IndexOf(stripe)].store(share.by_cost.highest(), std::memory_order_relaxed);
}

void Idempotency::PublishOldest(Stripe& stripe, Share& share) {
  share.owner.oldest[IndexOf(stripe)].store(
      share.finished.empty() ? kNone : share.finished.front().finished.time_since_epoch().count(),
      std::memory_order_relaxed);
}

bool Idempotency::EvictFromProducerId(Owner& owner) {
  std::size_t most = 0;
  for (std::size_t i = 1; i < kStripes; ++i) {
    if (owner.highest[i].load(std::memory_order_relaxed) >
        owner.highest[most].load(std::memory_order_relaxed))
      most = i;
  }
  Stripe& stripe = stripes_[most];
  MutexLock lock(stripe.mutex);
  const auto share = stripe.shares.find(&owner);
  if (share == stripe.shares.end()) return false;
  const Producer* const producer = share->second->by_cost.Largest();
  if (producer == nullptr || producer->cost <= max_keys_ / kShare) return false;
  for (const auto& [seq, entry] : producer->seqs) {
    if (entry->state == Entry::State::kRunning) continue;
    if (!Expired(*entry, clock_())) evicted_.fetch_add(1, std::memory_order_relaxed);
    Forget(stripe, entry);
    return true;
  }
  return false;
}

bool Idempotency::Evict() {
  Owner* const owner =
      owners_.Largest([](const Owner& one) { return one.cost.load(std::memory_order_relaxed); });
  if (owner == nullptr) return false;
  if (EvictFromProducerId(*owner)) return true;
  Stripe* oldest = nullptr;
  TimePoint::rep since = kNone;
  for (std::size_t i = 0; i < kStripes; ++i) {
    const TimePoint::rep first = owner->oldest[i].load(std::memory_order_relaxed);
    if (first < since) oldest = &stripes_[i], since = first;
  }
  if (oldest == nullptr) return true;  // another thread was faster
  MutexLock lock(oldest->mutex);
  Entries& finished = oldest->shares.find(owner)->second->finished;
  if (finished.empty()) return true;  // the same
  if (!Expired(finished.front(), clock_())) evicted_.fetch_add(1, std::memory_order_relaxed);
  Forget(*oldest, finished.begin());
  return true;
}

}  // namespace herald
