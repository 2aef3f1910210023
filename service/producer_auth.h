#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "service/producer_account.h"
#include "service/producers_file.h"
#include "session/current.h"
#include "session/string_map.h"

namespace herald {

// How a caller says who it is.
struct ProducerCredential {
  std::string authorization;  // the header's value; empty if absent
  // Of the verified mTLS certificate: URIs, DNS names, e-mail addresses, then the subject (RFC 2253).
  std::vector<std::string> certificate;
};

// The caller of one stream or call.
struct Producer {
  // Owns its producer ids and idempotency keys. Empty: the caller has no identity.
  std::string name;
  std::shared_ptr<const ProducerRights> rights;  // null: everything is allowed
  std::shared_ptr<ProducerAccount> account;
  std::uint64_t generation = 0;  // of the rights (ProducerAuth::generation)
};

// Producers and their rights, from producers_file; replaced as a whole when the file changes.
class ProducerTable {
 public:
  // Without a file: everybody may call and do everything.
  ProducerTable() = default;
  explicit ProducerTable(std::vector<ProducerEntry> entries);

  bool open() const { return open_; }
  const std::vector<ProducerEntry>& entries() const { return entries_; }
  // kUnauthenticated if no producer is named by it.
  absl::StatusOr<const ProducerEntry*> Find(const ProducerCredential& credential) const;

  friend bool operator==(const ProducerTable& a, const ProducerTable& b) {
    return a.open_ == b.open_ && a.entries_ == b.entries_;
  }

 private:
  bool open_ = true;
  std::vector<ProducerEntry> entries_;
  StringMap<std::size_t> by_token_;  // SHA-256 of the token → entry
  StringMap<std::size_t> by_certificate_;
};

// Tells producers by their tokens or certificates, and what each may do.
//
// A token goes before a certificate. Where a call shows both and they name two producers, it is
// refused. Without a file everything is allowed; then a certificate still names the caller, so that
// two producers do not share producer ids.
//
// Threads:   any. A reload replaces the table in place; calls and streams notice by `generation`.
// Limits:    one account for each producer of the file, and one for all others.
class ProducerAuth {
 public:
  ProducerAuth() : ProducerAuth(std::make_shared<const ProducerTable>()) {}
  explicit ProducerAuth(std::shared_ptr<const ProducerTable> table);

  // kInvalidArgument as ReadProducersFile.
  static absl::StatusOr<std::shared_ptr<const ProducerTable>> Load(
      const std::string& path, std::vector<std::string>& warnings);

  // The caller, or kUnauthenticated.
  absl::StatusOr<Producer> Check(const ProducerCredential& credential) const;

  // Grows with each change of the table.
  std::uint64_t generation() const { return generation_.load(std::memory_order_acquire); }
  const ProducerTable& table() const { return *state_.Get().table; }

  struct Changes {
    std::vector<std::string> added, removed, changed;
    bool none() const { return added.empty() && removed.empty() && changed.empty(); }
  };
  // `table` counts from now on. One thread at a time.
  Changes Replace(std::shared_ptr<const ProducerTable> table);

  // Called at most once a second for each producer, and once for callers that are none, with the
  // producer, what it lacks and the reason, where something is refused. To be set before anyone calls.
  using OnRefused =
      std::function<void(std::string_view producer, std::string_view what, std::string_view why)>;
  void set_on_refused(OnRefused on_refused) { on_refused_ = std::move(on_refused); }
  void Denied(const Producer& producer, const Denial& denial) const;
  void Limited(const Producer& producer, ProducerLimit limit, std::string_view why) const;

  std::uint64_t unauthenticated() const { return unauthenticated_.load(std::memory_order_relaxed); }
  // By name; "-" holds those that are not in the file.
  std::map<std::string, std::shared_ptr<const ProducerAccount>> accounts() const;

 private:
  struct State {
    std::shared_ptr<const ProducerTable> table;
    // Of the table's entries, in their order.
    std::vector<std::shared_ptr<const ProducerRights>> rights;
    std::vector<std::shared_ptr<ProducerAccount>> accounts;
  };
  std::shared_ptr<const State> MakeState(std::shared_ptr<const ProducerTable> table,
                                         const State* before) const;
  void Tell(std::atomic<std::int64_t>& next_told_ns, std::string_view producer,
            std::string_view what, std::string_view why) const;

  Current<State> state_;
  std::atomic<std::uint64_t> generation_{1};
  const std::shared_ptr<ProducerAccount> others_ = std::make_shared<ProducerAccount>();
  OnRefused on_refused_;
  mutable std::atomic<std::int64_t> next_unauthenticated_told_ns_{0};
  mutable std::atomic<std::uint64_t> unauthenticated_{0};
};

}  // namespace herald
