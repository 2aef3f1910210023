#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "session/mutex.h"
#include "session/string_map.h"

namespace herald {

struct AdmissionLimits {
  std::uint64_t max_sessions = 19'000;
  std::uint64_t max_sessions_per_ip = 0;    // 0: no limit
  std::uint64_t handshakes_per_second = 0;  // 0: no limit
};

// Decides whether one more connection may come in.
//
// Threads:   any. Off the push path: one short lock a handshake, and only where a limit by address
//            or rate is set.
class Admission {
 public:
  enum class Verdict {
    kAdmitted,
    kFull,                // 503: max_sessions
    kTooFast,             // 503: handshakes_per_second
    kTooManyFromAddress,  // 429: max_sessions_per_ip
  };

  explicit Admission(AdmissionLimits limits) { SetLimits(limits); }

  // Connections that are in stay in. A limit by address that there was none of before counts those
  // that come from now on.
  void SetLimits(AdmissionLimits limits) {
    MutexLock lock(mutex_);
    limits_ = limits;
    max_sessions_ = limits.max_sessions;
    by_address_or_rate_ = limits.max_sessions_per_ip > 0 || limits.handshakes_per_second > 0;
  }

  // After kAdmitted, Release must be called with the same address once.
  Verdict Admit(const std::string& ip, absl::Time now);
  void Release(const std::string& ip);
  std::uint64_t admitted() const { return admitted_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> admitted_{0};
  std::atomic<std::uint64_t> max_sessions_{0};
  std::atomic<bool> by_address_or_rate_{false};
  std::atomic<bool> counts_addresses_{false};  // has counted one, ever
  Mutex mutex_;
  AdmissionLimits limits_ ABSL_GUARDED_BY(mutex_);
  StringMap<std::uint32_t> by_ip_ ABSL_GUARDED_BY(mutex_);
  // Token bucket of one second's worth.
  double tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time refilled_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

}  // namespace herald
