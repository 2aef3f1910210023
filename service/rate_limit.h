#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "absl/time/time.h"

namespace herald {

// A token bucket as the time at which it will be full again (GCRA): one atomic number, no lock.
//
// The bucket holds one second of `rate`. Take succeeds while it is not empty and may leave a debt, so
// that a rate below the size of one message still lets that message through.
// Threads: any.
class ProducerRate {
 public:
  using Clock = std::chrono::steady_clock;

  // Takes `amount`. Returns zero, or how long to wait before trying again; then nothing was taken.
  absl::Duration Take(std::uint64_t amount, std::uint64_t rate, std::int64_t now_ns) {
    const std::int64_t cost = Cost(amount, rate);
    std::int64_t full = full_at_.load(std::memory_order_relaxed);
    while (true) {
      const std::int64_t from = full > now_ns ? full : now_ns;
      if (from - now_ns >= kBucket) return absl::Nanoseconds(from - now_ns - kBucket + kLeastWait);
      if (full_at_.compare_exchange_weak(full, from + cost, std::memory_order_relaxed))
        return absl::ZeroDuration();
    }
  }
  // Takes `amount` in any case, and may leave a debt.
  void Charge(std::uint64_t amount, std::uint64_t rate, std::int64_t now_ns) {
    std::int64_t full = full_at_.load(std::memory_order_relaxed);
    while (!full_at_.compare_exchange_weak(
        full, (full > now_ns ? full : now_ns) + Cost(amount, rate), std::memory_order_relaxed)) {
    }
  }
  // How long until no more than two seconds' worth has been charged.
  absl::Duration Wait(std::int64_t now_ns) const {
    const std::int64_t wait = full_at_.load(std::memory_order_relaxed) - now_ns - 2 * kBucket;
    return absl::Nanoseconds(wait > 0 ? wait : 0);
  }
  static std::int64_t Now() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch())
        .count();
  }

 private:
  static constexpr std::int64_t kBucket = 1'000'000'000;
  static constexpr std::int64_t kLeastWait = 1'000'000;

  // `rate` is not 0. At most an hour, so that no sum overflows.
  static std::int64_t Cost(std::uint64_t amount, std::uint64_t rate) {
    const double cost = static_cast<double>(amount) * 1e9 / static_cast<double>(rate);
    return static_cast<std::int64_t>(cost < 3.6e12 ? cost : 3.6e12);
  }

  std::atomic<std::int64_t> full_at_{0};
};

}  // namespace herald
