#include "ws/admission.h"

#include <algorithm>

namespace herald {

Admission::Verdict Admission::Admit(const std::string& ip, absl::Time now) {
  if (admitted_.fetch_add(1, std::memory_order_relaxed) >= max_sessions_) {
    admitted_.fetch_sub(1, std::memory_order_relaxed);
    return Verdict::kFull;
  }
  if (!by_address_or_rate_) return Verdict::kAdmitted;
  MutexLock lock(mutex_);
  if (limits_.handshakes_per_second > 0) {
    const double burst = static_cast<double>(limits_.handshakes_per_second);
    // A clock may be set back.
    const absl::Duration elapsed = std::max(now - refilled_, absl::ZeroDuration());
    if (refilled_ == absl::InfinitePast()) {
      tokens_ = burst;
    } else {
      tokens_ = std::min(burst, tokens_ + absl::ToDoubleSeconds(elapsed) * burst);
    }
    refilled_ = now;
    if (tokens_ < 1) {
      admitted_.fetch_sub(1, std::memory_order_relaxed);
      return Verdict::kTooFast;
    }
    tokens_ -= 1;
  }
  if (limits_.max_sessions_per_ip > 0) {
    std::uint32_t& count = by_ip_[ip];
    if (count >= limits_.max_sessions_per_ip) {
      admitted_.fetch_sub(1, std::memory_order_relaxed);
      return Verdict::kTooManyFromAddress;
    }
    ++count;
    counts_addresses_ = true;
  }
  return Verdict::kAdmitted;
}

void Admission::Release(const std::string& ip) {
  admitted_.fetch_sub(1, std::memory_order_relaxed);
  if (!counts_addresses_) return;
  MutexLock lock(mutex_);
  auto it = by_ip_.find(ip);
  if (it != by_ip_.end() && --it->second == 0) by_ip_.erase(it);
}

}  // namespace herald
