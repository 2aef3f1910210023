#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace herald {

// Nanoseconds of the monotonic clock, which nobody can set back.
inline std::int64_t MonotonicNanos() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// A token bucket that many connections share: `per_second` units flow in, up to `burst` units stay.
// It starts full. A rate of 0 means no limit.
//
// The state is one number, the moment at which the bucket will be full again (GCRA, ITU-T I.371), so
// a reload may change the rate at any time.
//
// Threads: any; one atomic exchange for each Take, no lock.
// Limits:  one Take asks for at most 2^32 units; more than `burst` at once is never given.
class RateBucket {
 public:
  struct Rate {
    std::uint64_t per_second = 0;
    std::uint64_t burst = 0;  // below 1 counts as 1
  };

  // Takes `units`. False, and takes nothing, if fewer are there.
  bool Take(std::uint64_t units, Rate rate, std::int64_t now_ns) {
    if (rate.per_second == 0) return true;
    std::int64_t before = full_at_ns_.load(std::memory_order_relaxed);
    for (;;) {
      const std::int64_t after = (before > now_ns ? before : now_ns) + NanosFor(units, rate);
      if (after - now_ns > NanosFor(rate.burst > 0 ? rate.burst : 1, rate)) return false;
      if (full_at_ns_.compare_exchange_weak(before, after, std::memory_order_relaxed)) return true;
    }
  }

  // Takes `units` even if fewer are there, down to a debt of one more burst; for work that is already
  // done. False if the bucket was empty before.
  bool Charge(std::uint64_t units, Rate rate, std::int64_t now_ns) {
    if (rate.per_second == 0) return true;
    const std::int64_t burst_ns = NanosFor(rate.burst > 0 ? rate.burst : 1, rate);
    std::int64_t before = full_at_ns_.load(std::memory_order_relaxed);
    for (;;) {
      const std::int64_t start = before > now_ns ? before : now_ns;
      std::int64_t after = start + NanosFor(units, rate);
      if (after > now_ns + 2 * burst_ns) after = now_ns + 2 * burst_ns;
      if (after < start) after = start;
      if (full_at_ns_.compare_exchange_weak(before, after, std::memory_order_relaxed))
        return start - now_ns < burst_ns;
    }
  }

  // True if a Take of `units` would succeed now.
  bool Has(std::uint64_t units, Rate rate, std::int64_t now_ns) const {
    if (rate.per_second == 0) return true;
    const std::int64_t full_at = full_at_ns_.load(std::memory_order_relaxed);
    const std::int64_t after = (full_at > now_ns ? full_at : now_ns) + NanosFor(units, rate);
    return after - now_ns <= NanosFor(rate.burst > 0 ? rate.burst : 1, rate);
  }

 private:
  static std::int64_t NanosFor(std::uint64_t units, Rate rate) {
    return static_cast<std::int64_t>(units * std::uint64_t{1'000'000'000} / rate.per_second);
  }

  std::atomic<std::int64_t> full_at_ns_{INT64_MIN / 2};
};

}  // namespace herald
