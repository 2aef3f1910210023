#pragma once

#include <array>
#include <cstdint>

#include "ws/front_end.h"

namespace herald {

// Says in one log line, at most once a second, for which rates clients were closed or refused.
//
// Threads: one.
class RateLog {
 public:
  explicit RateLog(const FrontEnd& front_end) : front_end_(front_end) {}

  // To be called once a second.
  void EverySecond();

 private:
  const FrontEnd& front_end_;
  std::array<std::uint64_t, kRateReasons> logged_{};
};

}  // namespace herald
