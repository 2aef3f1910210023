#pragma once

#include <chrono>

namespace herald::cli {

// Lets so many things happen a second, evenly. After a pause nothing is made up for, but for one
// tick's worth.
class Pacer {
 public:
  using Clock = std::chrono::steady_clock;

  // 0 means no limit.
  explicit Pacer(double per_second) : per_second_(per_second) {}

  // Takes the place of one thing at `now`: how long it must wait first. Waits shorter than a tick
  // (5 ms) are zero, so that a fast pace goes in small bursts and not in as many sleeps.
  Clock::duration Take(Clock::time_point now);

 private:
  const double per_second_;
  Clock::time_point due_{};  // of the next one
};

}  // namespace herald::cli
