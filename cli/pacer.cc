#include "cli/pacer.h"

#include <algorithm>

namespace herald::cli {

Pacer::Clock::duration Pacer::Take(Clock::time_point now) {
  if (per_second_ <= 0) return Clock::duration::zero();
  constexpr Clock::duration kTick = std::chrono::milliseconds(5);
  const auto interval =
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(1 / per_second_));
  due_ = std::max(due_, now - kTick);
  const Clock::duration wait = due_ - now;
  due_ += interval;
  const Clock::duration slack = interval < kTick ? kTick : Clock::duration::zero();
  return wait > slack ? wait : Clock::duration::zero();
}

}  // namespace herald::cli
