#include "app/rate_log.h"

#include <string>
#include <utility>

#include "app/logging.h"
#include "fmt/format.h"

namespace herald {

void RateLog::EverySecond() {
  std::uint64_t all = 0;
  std::string reasons;
  for (std::size_t i = 0; i < logged_.size(); ++i) {
    const std::uint64_t count = front_end_.rate_limited[i].load(std::memory_order_relaxed);
    const std::uint64_t more = count - std::exchange(logged_[i], count);
    if (more == 0) continue;
    all += more;
    reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : ", ", kRateReasonNames[i], more);
  }
  if (all > 0) LogWarn("clients are over a rate", {{"clients", all}, {"reasons", reasons}});
}

}  // namespace herald
