#include "ws/user_rates.h"

#include <algorithm>
#include <string>

namespace herald {

bool UserRates::Full(const Buckets& buckets, const Rates& rates, std::int64_t now_ns) {
  return buckets.frames.Has(rates.frames.burst, rates.frames, now_ns) &&
         buckets.bytes.Has(rates.bytes.burst, rates.bytes, now_ns) &&
         buckets.replayed_bytes.Has(rates.replayed_bytes.burst, rates.replayed_bytes, now_ns);
}

UserRates::Buckets& UserRates::Find(Part& part, std::string_view user, const Rates& rates,
                                    std::int64_t now_ns) {
  if (const auto it = part.users.find(user); it != part.users.end()) return *it->second;
  if (part.users.size() >= std::min(part.sweep_at, max_per_part_)) {
    absl::erase_if(part.users,
                   [&](const auto& entry) { return Full(*entry.second, rates, now_ns); });
    part.sweep_at = std::max<std::size_t>(64, 2 * part.users.size());
    if (part.users.size() >= max_per_part_) return part.others;
  }
  return *part.users.emplace(std::string(user), std::make_unique<Buckets>()).first->second;
}

std::optional<RateReason> UserRates::Sent(std::string_view user, std::uint64_t frames,
                                          std::uint64_t bytes, const Rates& rates,
                                          std::int64_t now_ns) {
  Part& part = PartOf(user);
  const MutexLock lock(part.mutex);
  Buckets& buckets = Find(part, user, rates, now_ns);
  const bool frames_left = buckets.frames.Charge(frames, rates.frames, now_ns);
  const bool bytes_left = buckets.bytes.Charge(bytes, rates.bytes, now_ns);
  if (!frames_left) return RateReason::kUserFrames;
  if (!bytes_left) return RateReason::kUserBytes;
  return std::nullopt;
}

std::optional<RateReason> UserRates::MaySend(std::string_view user, const Rates& rates,
                                             std::int64_t now_ns) const {
  const Part& part = PartOf(user);
  const MutexLock lock(part.mutex);
  const auto it = part.users.find(user);
  if (it == part.users.end()) return std::nullopt;
  if (!it->second->frames.Has(1, rates.frames, now_ns)) return RateReason::kUserFrames;
  if (!it->second->bytes.Has(1, rates.bytes, now_ns)) return RateReason::kUserBytes;
  return std::nullopt;
}

std::optional<RateReason> UserRates::MayReplay(std::string_view user, const Rates& rates,
                                               std::int64_t now_ns) const {
  const Part& part = PartOf(user);
  const MutexLock lock(part.mutex);
  const auto it = part.users.find(user);
  if (it == part.users.end() || it->second->replayed_bytes.Has(1, rates.replayed_bytes, now_ns))
    return std::nullopt;
  return RateReason::kUserReplay;
}

void UserRates::Replayed(std::string_view user, std::uint64_t bytes, const Rates& rates,
                         std::int64_t now_ns) {
  Part& part = PartOf(user);
  const MutexLock lock(part.mutex);
  Find(part, user, rates, now_ns).replayed_bytes.Charge(bytes, rates.replayed_bytes, now_ns);
}

std::size_t UserRates::size() const {
  std::size_t size = 0;
  for (const Part& part : parts_) {
    const MutexLock lock(part.mutex);
    size += part.users.size();
  }
  return size;
}

}  // namespace herald
