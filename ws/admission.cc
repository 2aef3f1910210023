#include "ws/admission.h"

#include <algorithm>
#include <cassert>

#include "session/shard.h"

namespace herald {
namespace {

void Add(std::atomic<std::uint64_t>& count) { count.fetch_add(1, std::memory_order_relaxed); }
void Subtract(std::atomic<std::uint64_t>& count) { count.fetch_sub(1, std::memory_order_relaxed); }

RateBucket::Rate OneSecond(std::uint64_t per_second) { return {per_second, per_second}; }
RateBucket::Rate TwoSeconds(std::uint64_t per_second) { return {per_second, 2 * per_second}; }

}  // namespace

Admission::~Admission() { assert(connections() == 0); }

void Admission::SetLimits(AdmissionLimits limits) {
  const MutexLock lock(mutex_);
  limits_ = limits;
  token_failures_per_second_ = limits.token_failures_per_second_per_ip;
  limits_handshakes_ = limits.handshakes_per_second > 0 || limits.handshakes_per_second_per_ip > 0;
}

Admission::Accepted Admission::Accept(const AddressKey& key, bool of_proxy, Shard& shard,
                                      std::int64_t now_ns) {
  AddressTable::Ref address = addresses_.Find(key, now_ns);
  auto entry = std::make_unique<Entry>();
  entry->shard = &shard;
  Eviction eviction;
  Accepted accepted;
  {
    const MutexLock lock(mutex_);
    accepted.verdict = Count(MakeRoom(key, of_proxy, now_ns, eviction));
    if (accepted.verdict == Verdict::kAdmitted) {
      pool_.Add(*entry, key, now_ns);
      Add(connections_);
      address->connections.fetch_add(1, std::memory_order_relaxed);
      address->unauthenticated.fetch_add(1, std::memory_order_relaxed);
      accepted.ticket.admission_ = this;
      accepted.ticket.address_ = std::move(address);
      accepted.ticket.waiting_ = std::move(entry);
    }
  }
  Run(std::move(eviction));
  return accepted;
}

Admission::Verdict Admission::MakeRoom(const AddressKey& key, bool of_proxy, std::int64_t now_ns,
                                       Eviction& eviction) {
  const auto old_enough = [&](const Entry& entry) { return now_ns - entry.since_ns() >= kGraceNs; };
  // Evicted connections hold a descriptor until their shard has closed them.
  const std::uint64_t gone = connections() - sessions() - pool_.size();
  if (gone > std::max(kMinEvicted, limits_.max_connections / kEvictedShare)) return Verdict::kFull;
  const std::size_t own = pool_.CountOf(key);
  if (!of_proxy && limits_.max_unauthenticated_per_ip > 0 &&
      own >= limits_.max_unauthenticated_per_ip) {
    Entry* const oldest = pool_.OldestOf(key);
    if (oldest == nullptr || !old_enough(*oldest)) return Verdict::kUnauthenticatedPerAddress;
    eviction = Evict(*oldest);
    return Verdict::kAdmitted;
  }
  if (connections() - gone < limits_.max_connections && pool_.size() < limits_.max_unauthenticated)
    return Verdict::kAdmitted;
  Entry* const victim = pool_.OldestOfHeaviest();
  if (victim == nullptr) return Verdict::kFull;
  if (!old_enough(*victim) && own + 1 >= pool_.heaviest()) return Verdict::kFull;
  eviction = Evict(*victim);
  return Verdict::kAdmitted;
}

Admission::Eviction Admission::Evict(Entry& entry) {
  pool_.Remove(entry);
  Add(evicted_);
  return {std::move(entry.owner), entry.evict, entry.shard};
}

void Admission::Run(Eviction eviction) {
  // Without an owner: SetOwner will say that it has been evicted.
  if (eviction.evict == nullptr) return;
  eviction.shard->Post([owner = std::move(eviction.owner), evict = eviction.evict] {
    if (const std::shared_ptr<void> alive = owner.lock()) evict(alive.get());
  });
}

Admission::Verdict Admission::SessionVerdict(const AddressState& address) const {
  if (sessions() >= limits_.max_sessions) return Verdict::kSessionsFull;
  const std::uint64_t own = address.connections.load(std::memory_order_relaxed) -
                            address.unauthenticated.load(std::memory_order_relaxed);
  if (limits_.max_sessions_per_ip > 0 && own >= limits_.max_sessions_per_ip)
    return Verdict::kSessionsPerAddress;
  return Verdict::kAdmitted;
}

// --- Ticket ---

Admission::Ticket& Admission::Ticket::operator=(Ticket&& other) noexcept {
  if (this == &other) return *this;
  Release();
  admission_ = other.admission_;
  address_ = std::move(other.address_);
  waiting_ = std::move(other.waiting_);
  return *this;
}

void Admission::Ticket::Release() {
  if (!address_) return;
  {
    const MutexLock lock(admission_->mutex_);
    Subtract(admission_->connections_);
    address_->connections.fetch_sub(1, std::memory_order_relaxed);
    if (waiting_ != nullptr) {
      if (waiting_->in_pool()) admission_->pool_.Remove(*waiting_);
      address_->unauthenticated.fetch_sub(1, std::memory_order_relaxed);
    } else {
      Subtract(admission_->sessions_);
    }
  }
  waiting_.reset();
  address_.Reset();
}

bool Admission::Ticket::SetOwner(std::weak_ptr<void> owner, void (*evict)(void* owner)) {
  if (waiting_ == nullptr) return true;
  const MutexLock lock(admission_->mutex_);
  if (!waiting_->in_pool()) return false;
  waiting_->owner = std::move(owner);
  waiting_->evict = evict;
  return true;
}

Admission::Verdict Admission::Ticket::SetAddress(const AddressKey& key, std::int64_t now_ns) {
  if (key == address_->key) return Verdict::kAdmitted;
  AddressTable::Ref next = admission_->addresses_.Find(key, now_ns);
  Eviction eviction;
  {
    const MutexLock lock(admission_->mutex_);
    if (waiting_ == nullptr || !waiting_->in_pool()) return admission_->Count(Verdict::kFull);
    const AdmissionLimits& limits = admission_->limits_;
    if (limits.max_unauthenticated_per_ip > 0 &&
        admission_->pool_.CountOf(key) >= limits.max_unauthenticated_per_ip) {
      Entry* const oldest = admission_->pool_.OldestOf(key);
      if (now_ns - oldest->since_ns() < kGraceNs)
        return admission_->Count(Verdict::kUnauthenticatedPerAddress);
      eviction = admission_->Evict(*oldest);
    }
    admission_->pool_.Move(*waiting_, key);
    for (const auto& [state, change] : {std::pair{address_.get(), -1}, {next.get(), 1}}) {
      state->connections.fetch_add(static_cast<std::uint32_t>(change), std::memory_order_relaxed);
      state->unauthenticated.fetch_add(static_cast<std::uint32_t>(change),
                                       std::memory_order_relaxed);
    }
    std::swap(address_, next);
  }
  Run(std::move(eviction));
  return Verdict::kAdmitted;
}

Admission::Verdict Admission::Ticket::ChargeHandshake(std::int64_t now_ns) {
  if (!admission_->limits_handshakes_.load(std::memory_order_relaxed)) return Verdict::kAdmitted;
  const AdmissionLimits limits = admission_->limits();
  // The address first: one that is over its own rate takes nothing from the others.
  if (!address_->handshakes.Take(1, OneSecond(limits.handshakes_per_second_per_ip), now_ns))
    return admission_->Count(Verdict::kTooFastFromAddress);
  if (!admission_->handshakes_.Take(1, OneSecond(limits.handshakes_per_second), now_ns))
    return admission_->Count(Verdict::kTooFast);
  return Verdict::kAdmitted;
}

Admission::Verdict Admission::Ticket::BeginTls(std::int64_t now_ns) {
  const auto failures = TwoSeconds(admission_->limits().tls_failures_per_second_per_ip);
  if (!address_->tls_failures.Has(1, failures, now_ns))
    return admission_->Count(Verdict::kTlsFailures);
  return ChargeHandshake(now_ns);
}

void Admission::Ticket::ChargeTlsFailure(std::int64_t now_ns) {
  address_->tls_failures.Charge(1, TwoSeconds(admission_->limits().tls_failures_per_second_per_ip),
                                now_ns);
}

Admission::Verdict Admission::Ticket::MayShowToken(std::int64_t now_ns) const {
  if (address_->token_failures.Has(1, TwoSeconds(admission_->token_failures_per_second_), now_ns))
    return Verdict::kAdmitted;
  return admission_->Count(Verdict::kTokenFailures);
}

void Admission::Ticket::ChargeTokenFailure(std::int64_t now_ns) {
  address_->token_failures.Charge(1, TwoSeconds(admission_->token_failures_per_second_), now_ns);
}

Admission::Verdict Admission::Ticket::MayBecomeSession() const {
  if (waiting_ == nullptr) return Verdict::kAdmitted;
  const MutexLock lock(admission_->mutex_);
  return admission_->Count(admission_->SessionVerdict(*address_));
}

Admission::Verdict Admission::Ticket::BecomeSession() {
  if (waiting_ == nullptr) return Verdict::kAdmitted;
  {
    const MutexLock lock(admission_->mutex_);
    if (!waiting_->in_pool()) return admission_->Count(Verdict::kFull);
    const Verdict verdict = admission_->Count(admission_->SessionVerdict(*address_));
    if (verdict != Verdict::kAdmitted) return verdict;
    admission_->pool_.Remove(*waiting_);
    address_->unauthenticated.fetch_sub(1, std::memory_order_relaxed);
    Add(admission_->sessions_);
  }
  waiting_.reset();
  return Verdict::kAdmitted;
}

}  // namespace herald
