#include "session/ban_list.h"

#include <algorithm>

#include "fmt/format.h"

namespace herald {

// Neither user ids nor token ids hold line ends, so two different pairs never make one key.
std::string BanList::KeyOf(std::string_view user, std::string_view token_id) {
  return fmt::format("{}\n{}", user, token_id);
}

absl::Status BanList::Add(const std::vector<Ban>& bans, absl::Time now) {
  MutexLock lock(mutex_);
  std::size_t more = 0, bytes = 0;
  const auto count = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    more = bytes = 0;
    for (const Ban& ban : bans) {
      const std::string key = KeyOf(ban.user, ban.token_id);
      if (ban.until <= now || until_.contains(key)) continue;
      ++more;
      bytes += key.size();
    }
    return Fits(more, bytes);
  };
  if (!count()) {
    SweepLocked(now);
    if (!count()) {
      refused_.fetch_add(more, std::memory_order_relaxed);
      return absl::ResourceExhaustedError(
          fmt::format("this replica holds as many bans as it may ({})", until_.size()));
    }
  }
  for (const Ban& ban : bans) {
    const std::string key = KeyOf(ban.user, ban.token_id);
    if (ban.until > now) {
      Put(key, ban.until);
    } else if (until_.erase(key) > 0) {
      bytes_ -= key.size();
    }
  }
  size_.store(until_.size(), std::memory_order_relaxed);
  return absl::OkStatus();
}

void BanList::Merge(const std::vector<Ban>& bans, absl::Time now) {
  MutexLock lock(mutex_);
  SweepLocked(now);
  for (const Ban& ban : bans) {
    if (ban.until <= now || (ban.user.empty() && ban.token_id.empty())) continue;
    const std::string key = KeyOf(ban.user, ban.token_id);
    const auto known = until_.find(key);
    if (known != until_.end()) {
      known->second = std::max(known->second, ban.until);
    } else if (Fits(1, key.size())) {
      Put(key, ban.until);
    } else {
      refused_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  size_.store(until_.size(), std::memory_order_relaxed);
}

std::optional<absl::Time> BanList::Find(std::string_view user, std::string_view token_id,
                                        absl::Time now) const {
  if (size() == 0) return std::nullopt;
  std::optional<absl::Time> until;
  MutexLock lock(mutex_);
  const auto look = [&](std::string_view by_user, std::string_view by_token)
                        ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                          if (by_user.empty() && by_token.empty()) return;
                          const auto it = until_.find(KeyOf(by_user, by_token));
                          if (it == until_.end() || it->second <= now) return;
                          until = std::max(until.value_or(it->second), it->second);
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
  bans.reserve(until_.size());
  for (const auto& [key, until] : until_) {
    if (until <= now) continue;
    const std::size_t end = key.find('\n');
    bans.push_back({key.substr(0, end), key.substr(end + 1), until});
  }
  return bans;
}

void BanList::Sweep(absl::Time now) {
  if (size() == 0) return;
  MutexLock lock(mutex_);
  SweepLocked(now);
  size_.store(until_.size(), std::memory_order_relaxed);
}

void BanList::SweepLocked(absl::Time now) {
  for (auto it = until_.begin(); it != until_.end();) {
    if (it->second > now) {
      ++it;
      continue;
    }
    bytes_ -= it->first.size();
    until_.erase(it++);
  }
}

void BanList::Put(const std::string& key, absl::Time until) {
  if (until_.insert_or_assign(key, until).second) bytes_ += key.size();
}

}  // namespace herald
