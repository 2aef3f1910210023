#include "session/ban_list.h"

#include <algorithm>

#include "fmt/format.h"

namespace herald {

// Neither user ids nor token ids hold line ends, so two different pairs never make one key.
std::string BanList::KeyOf(std::string_view user, std::string_view token_id) {
  return fmt::format("{}\n{}", user, token_id);
}

bool BanList::FitsShare(const std::string& owner, std::size_t bans, std::size_t bytes) const {
  if (owner.empty()) return true;
  const auto it = shares_.find(owner);
  const Share share = it == shares_.end() ? Share{} : it->second;
  return share.bans + bans <= max_bans_ / 2 && share.bytes + bytes <= max_bytes_ / 2;
}

absl::Status BanList::Add(const std::vector<Ban>& bans, absl::Time now) {
  if (bans.empty()) return absl::OkStatus();
  const std::string& owner = bans.front().owner;
  MutexLock lock(mutex_);
  std::size_t refused = 0;
  const auto check = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) -> absl::Status {
    Share all, own;  // more than there are: in the list, and of the owner
    for (const Ban& ban : bans) {
      const std::string key = KeyOf(ban.user, ban.token_id);
      const auto known = entries_.find(key);
      if (ban.until <= now || (known != entries_.end() && known->second.owner == owner)) continue;
      ++own.bans;
      own.bytes += key.size();
      if (known != entries_.end()) continue;
      ++all.bans;
      all.bytes += key.size();
    }
    refused = own.bans;
    if (!Fits(all.bans, all.bytes)) {
      return absl::ResourceExhaustedError(
          fmt::format("this replica holds as many bans as it may ({})", entries_.size()));
    }
    if (!FitsShare(owner, own.bans, own.bytes)) {
      return absl::ResourceExhaustedError(
          fmt::format("producer \"{}\" holds as many bans as one may: half of what fits ({})",
                      owner, max_bans_));
    }
    return absl::OkStatus();
  };
  if (!check().ok()) {
    SweepLocked(now);
    if (absl::Status full = check(); !full.ok()) {
      refused_.fetch_add(refused, std::memory_order_relaxed);
      return full;
    }
  }
  for (const Ban& ban : bans) {
    const std::string key = KeyOf(ban.user, ban.token_id);
    if (ban.until > now) {
      Put(key, ban.until, owner);
    } else if (const auto it = entries_.find(key); it != entries_.end()) {
      Uncount(key, it->second);
      entries_.erase(it);
    }
  }
  size_.store(entries_.size(), std::memory_order_relaxed);
  return absl::OkStatus();
}

void BanList::Merge(const std::vector<Ban>& bans, absl::Time now) {
  MutexLock lock(mutex_);
  SweepLocked(now);
  for (const Ban& ban : bans) {
    if (ban.until <= now || (ban.user.empty() && ban.token_id.empty())) continue;
    const std::string key = KeyOf(ban.user, ban.token_id);
    const auto known = entries_.find(key);
    if (known != entries_.end()) {
      known->second.until = std::max(known->second.until, ban.until);
    } else if (Fits(1, key.size()) && FitsShare(ban.owner, 1, key.size())) {
      Put(key, ban.until, ban.owner);
    } else {
      refused_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  size_.store(entries_.size(), std::memory_order_relaxed);
}

std::optional<absl::Time> BanList::Find(std::string_view user, std::string_view token_id,
                                        absl::Time now) const {
  if (size() == 0) return std::nullopt;
  std::optional<absl::Time> until;
  MutexLock lock(mutex_);
  const auto look = [&](std::string_view by_user, std::string_view by_token)
                        ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                          if (by_user.empty() && by_token.empty()) return;
                          const auto it = entries_.find(KeyOf(by_user, by_token));
                          if (it == entries_.end() || it->second.until <= now) return;
                          until = std::max(until.value_or(it->second.until), it->second.until);
                        };
  look(user, "");
  if (token_id.empty()) return until;
  look("", token_id);
  if (!user.empty()) look(user, token_id);
  return until;
}

std::vector<BanList::Ban> BanList::List(absl::Time now) const {
  std::vector<Ban> bans;
  MutexLock lock(mutex_);
  bans.reserve(entries_.size());
  for (const auto& [key, entry] : entries_) {
    if (entry.until <= now) continue;
    const std::size_t end = key.find('\n');
    bans.push_back({key.substr(0, end), key.substr(end + 1), entry.until, entry.owner});
  }
  return bans;
}

void BanList::Sweep(absl::Time now) {
  if (size() == 0) return;
  MutexLock lock(mutex_);
  SweepLocked(now);
  size_.store(entries_.size(), std::memory_order_relaxed);
}

void BanList::SweepLocked(absl::Time now) {
  for (auto it = entries_.begin(); it != entries_.end();) {
    if (it->second.until > now) {
      ++it;
      continue;
    }
    Uncount(it->first, it->second);
    entries_.erase(it++);
  }
}

void BanList::Put(const std::string& key, absl::Time until, const std::string& owner) {
  const auto [it, added] = entries_.try_emplace(key);
  if (!added) Uncount(key, it->second);
  it->second = {until, owner};
  bytes_ += key.size();
  Share& share = shares_[owner];
  ++share.bans;
  share.bytes += key.size();
}

void BanList::Uncount(const std::string& key, const Entry& entry) {
  bytes_ -= key.size();
  const auto share = shares_.find(entry.owner);
  share->second.bytes -= key.size();
  if (--share->second.bans == 0) shares_.erase(share);
}

}  // namespace herald
