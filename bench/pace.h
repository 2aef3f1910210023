#pragma once

#include <time.h>

#include <cstdint>

#include "absl/time/time.h"
#include "bench/stamp.h"

namespace herald::bench {

// An open loop: ticks at fixed times, however late the last one was served. What is stamped with a
// tick's time counts the delay too (Gil Tene's "coordinated omission").
class Pace {
 public:
  explicit Pace(absl::Duration period)
      : period_ns_(static_cast<std::uint64_t>(absl::ToInt64Nanoseconds(period))), next_(NowNs()) {}

  // Sleeps until the next tick, unless it has passed already, and returns when that was, as NowNs.
  std::uint64_t Next() {
    next_ += period_ns_;
    const timespec at = {static_cast<time_t>(next_ / 1'000'000'000),
                         static_cast<long>(next_ % 1'000'000'000)};
    ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr);
    return next_;
  }
  // When the next tick will be.
  std::uint64_t next() const { return next_ + period_ns_; }

 private:
  const std::uint64_t period_ns_;
  std::uint64_t next_;
};

}  // namespace herald::bench
