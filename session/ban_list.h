#pragma once

#include <atomic>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "session/mutex.h"
#include "session/string_map.h"

namespace herald {

// Users and tokens that may not open sessions for a while.
//
// A ban names a user, or a token by its `jti`, or both: then it means that token of that user. All
// replicas hold the same bans, as far as they hear of each other (docs/cluster.md); none survives
// the end of the last replica.
//
// Threads: any. Find takes no lock while there are no bans.
// Limits:  kMaxBans bans and kMaxBytes of names; a producer with a name has at most half of each, so
//          that others can always ban. Past either, Add refuses and counts: a ban that is in force is
//          never pushed out by another. What has ended is forgotten.
class BanList {
 public:
  static constexpr std::size_t kMaxBans = 100'000;
  static constexpr std::size_t kMaxBytes = 16 << 20;

  struct Ban {
    std::string user;      // empty: any
    std::string token_id;  // empty: all tokens, and sessions without one. Not both empty
    absl::Time until;
    std::string owner = {};  // the producer's name; empty: it has none, and no share
  };

  explicit BanList(std::size_t max_bans = kMaxBans, std::size_t max_bytes = kMaxBytes)
      : max_bans_(max_bans), max_bytes_(max_bytes) {}

  // Each ban replaces the one of the same names, whoever made it; one whose end has passed lifts it.
  // All have one owner. All, or with kResourceExhausted none.
  absl::Status Add(const std::vector<Ban>& bans, absl::Time now);
  // As Add, for the bans of another replica: of two bans of the same names the longer one counts,
  // under its first owner, and what does not fit is left out and counted.
  void Merge(const std::vector<Ban>& bans, absl::Time now);

  // The end of the longest ban on this user with this token; nothing if there is none. Either may be
  // empty.
  std::optional<absl::Time> Find(std::string_view user, std::string_view token_id,
                                 absl::Time now) const;

  // Those in force.
  std::vector<Ban> List(absl::Time now) const;

  // Forgets what has ended. To be called now and then.
  void Sweep(absl::Time now);

  std::size_t size() const { return size_.load(std::memory_order_relaxed); }
  // Bans refused or left out because the list, or the share of their producer, was full.
  std::size_t refused() const { return refused_.load(std::memory_order_relaxed); }

 private:
  // What one producer holds.
  struct Share {
    std::size_t bans = 0;
    std::size_t bytes = 0;
  };
  struct Entry {
    absl::Time until;
    std::string owner;
  };

  static std::string KeyOf(std::string_view user, std::string_view token_id);
  void SweepLocked(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Fits(std::size_t bans, std::size_t bytes) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return entries_.size() + bans <= max_bans_ && bytes_ + bytes <= max_bytes_;
  }
  bool FitsShare(const std::string& owner, std::size_t bans, std::size_t bytes) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Put(const std::string& key, absl::Time until, const std::string& owner)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // `entry` leaves the counts.
  void Uncount(const std::string& key, const Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::size_t max_bans_;
  const std::size_t max_bytes_;
  std::atomic<std::size_t> size_{0};  // of entries_
  std::atomic<std::size_t> refused_{0};
  mutable Mutex mutex_;
  StringMap<Entry> entries_ ABSL_GUARDED_BY(mutex_);  // by KeyOf
  StringMap<Share> shares_ ABSL_GUARDED_BY(mutex_);  // by the owner's name; only of those with bans
  std::size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;    // of the keys
};

}  // namespace herald
