#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>

#include "session/address_table.h"
#include "session/mutex.h"
#include "session/rate_bucket.h"
#include "ws/unauthenticated_pool.h"

namespace herald {

struct AdmissionLimits {
  // Client connections of all kinds: the share of the open-files limit that clients may use.
  std::uint64_t max_connections = 19'500;
  std::uint64_t max_sessions = 19'000;
  // Connections without a session. Sessions take from the same descriptors, so there may be fewer.
  std::uint64_t max_unauthenticated = 9'750;
  // Of one address (see AddressKey). 0: no limit.
  std::uint64_t max_unauthenticated_per_ip = 0;
  std::uint64_t max_sessions_per_ip = 0;
  std::uint64_t handshakes_per_second = 0;
  std::uint64_t handshakes_per_second_per_ip = 0;
  std::uint64_t tls_failures_per_second_per_ip = 0;
  std::uint64_t token_failures_per_second_per_ip = 0;
};

// Decides which connections may be there: every one from its accept to its end.
//
//   Accept → unauthenticated (TLS, request, upgrade, `connect`) → BecomeSession → session
//
// A connection without a session is in a pool of its own, so that strangers never hold what sessions
// need. When the pool is full, the oldest connection of the address that has the most is closed in
// favour of the new one: an attacker pushes out their own connections first. A connection younger
// than kGraceNs is only pushed out by an address that has fewer connections; otherwise the new
// connection is refused. So a crowd of honest clients completes its handshakes instead of ending
// each other's.
//
// Threads:   any, but a ticket is its connection's. One short lock for each step above, none for
//            a message.
// Ownership: outlives all tickets.
// Source:    RFC 4987 §3 lists the same trade-offs for half-open TCP connections.
class Admission {
 public:
  // Why a connection was refused. The names are those of a metric.
  enum class Verdict : std::uint8_t {
    kAdmitted,
    kFull,         // 503: max_connections or max_unauthenticated, all too young to close
    kDescriptors,  // 503: others use the descriptors that clients might have had
    kUnauthenticatedPerAddress,  // 429: max_unauthenticated_per_ip, all too young to close
    kTlsFailures,                // closed before TLS: tls_failures_per_second_per_ip
    kTokenFailures,              // 429 or close 4429: token_failures_per_second_per_ip
    kTooFast,                    // 503: handshakes_per_second
    kTooFastFromAddress,         // 429: handshakes_per_second_per_ip
    kSessionsFull,               // 503 or close 1013: max_sessions
    kSessionsPerAddress,         // 429 or close 4429: max_sessions_per_ip
  };
  static constexpr std::size_t kVerdicts = 10;
  static constexpr const char* kVerdictNames[kVerdicts] = {"",
                                                           "connections",
                                                           "descriptors",
                                                           "unauthenticated_per_ip",
                                                           "tls_failures_per_ip",
                                                           "token_failures_per_ip",
                                                           "handshake_rate",
                                                           "handshake_rate_per_ip",
                                                           "sessions",
                                                           "sessions_per_ip"};

  static constexpr std::int64_t kGraceNs = 1'000'000'000;
  // Evicted connections that their shards have not closed yet come on top of max_connections: at most
  // one in kEvictedShare, and at least kMinEvicted.
  static constexpr std::uint64_t kEvictedShare = 128;
  static constexpr std::uint64_t kMinEvicted = 16;

  // What one connection holds; gives it back when destroyed. Move-only: it goes with the connection.
  class Ticket {
   public:
    Ticket() = default;
    Ticket(Ticket&& other) noexcept = default;
    Ticket& operator=(Ticket&& other) noexcept;
    ~Ticket() { Release(); }

    explicit operator bool() const { return bool{address_}; }
    // Who is to end the connection when it is evicted: `evict(owner)` is called on the connection's
    // shard. False if it has been evicted already: close it.
    bool SetOwner(std::weak_ptr<void> owner, void (*evict)(void* owner));
    // The client's own address has become known, behind a proxy.
    Verdict SetAddress(const AddressKey& key, std::int64_t now_ns);
    // A handshake begins: takes from the buckets of handshakes.
    Verdict ChargeHandshake(std::int64_t now_ns);
    // A TLS handshake may begin: its address has not failed too many, and ChargeHandshake passes.
    Verdict BeginTls(std::int64_t now_ns);
    void ChargeTlsFailure(std::int64_t now_ns);
    // Whether a token may be checked: its address has not shown too many bad ones.
    Verdict MayShowToken(std::int64_t now_ns) const;
    // A token was checked and refused.
    void ChargeTokenFailure(std::int64_t now_ns);
    // Whether BecomeSession would succeed now.
    Verdict MayBecomeSession() const;
    // The client has authenticated, or needs not: it leaves the pool and counts as a session.
    Verdict BecomeSession();
    bool is_session() const { return address_ && waiting_ == nullptr; }

    // Of the client's address, with its buckets; lives as long as this ticket.
    AddressState& address() const { return *address_; }

   private:
    friend class Admission;
    void Release();

    Admission* admission_ = nullptr;
    AddressTable::Ref address_;                            // empty: there is no connection
    std::unique_ptr<UnauthenticatedPool::Entry> waiting_;  // null for a session
  };
  struct Accepted {
    Verdict verdict = Verdict::kAdmitted;
    Ticket ticket;  // empty unless admitted
  };

  explicit Admission(AdmissionLimits limits) { SetLimits(limits); }
  ~Admission();

  // Connections that are there stay.
  void SetLimits(AdmissionLimits limits);

  // A connection has been accepted from `key`. `of_proxy`: the address is a trusted proxy's, whose
  // connections are those of many clients; the limits by address wait for SetAddress.
  Accepted Accept(const AddressKey& key, bool of_proxy, Shard& shard, std::int64_t now_ns);

  // A connection was refused before Accept, because the process is short of descriptors.
  void CountRefused(Verdict why) { Count(why); }

  AddressTable& addresses() { return addresses_; }
  std::uint64_t connections() const { return connections_.load(std::memory_order_relaxed); }
  std::uint64_t sessions() const { return sessions_.load(std::memory_order_relaxed); }
  AdmissionLimits limits() const {
    const MutexLock lock(mutex_);
    return limits_;
  }
  std::uint64_t refused(Verdict why) const {
    return refused_[static_cast<std::size_t>(why)].load(std::memory_order_relaxed);
  }
  // Connections closed in favour of others.
  std::uint64_t evicted() const { return evicted_.load(std::memory_order_relaxed); }
  std::uint64_t unauthenticated() const {
    return connections() - std::min(sessions(), connections());
  }

 private:
  using Entry = UnauthenticatedPool::Entry;
  // What is to be called, without the lock, once an entry has been evicted.
  struct Eviction {
    std::weak_ptr<void> owner;
    void (*evict)(void*) = nullptr;
    Shard* shard = nullptr;
  };
  Verdict Count(Verdict verdict) {
    if (verdict != Verdict::kAdmitted)
      refused_[static_cast<std::size_t>(verdict)].fetch_add(1, std::memory_order_relaxed);
    return verdict;
  }
  // Makes room in the pool for one more of `key`.
  Verdict MakeRoom(const AddressKey& key, bool of_proxy, std::int64_t now_ns, Eviction& eviction)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Eviction Evict(Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static void Run(Eviction eviction);
  Verdict SessionVerdict(const AddressState& address) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  AddressTable addresses_;
  RateBucket handshakes_;
  std::atomic<std::uint64_t> connections_{0};  // changed under the lock
  std::atomic<std::uint64_t> sessions_{0};     // the same
  std::atomic<std::uint64_t> evicted_{0};
  std::atomic<bool> limits_handshakes_{false};
  std::atomic<std::uint64_t> token_failures_per_second_{0};
  std::atomic<std::uint64_t> refused_[kVerdicts]{};
  mutable Mutex mutex_;
  AdmissionLimits limits_ ABSL_GUARDED_BY(mutex_);
  UnauthenticatedPool pool_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace herald
