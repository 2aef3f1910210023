#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace herald {

// A point in time to the microsecond, in 8 bytes where absl::Time takes 16: for what every session
// keeps.
class CompactTime {
 public:
  CompactTime(absl::Time time) : unix_us_(absl::ToUnixMicros(time)) {}    // NOLINT: a time is one
  operator absl::Time() const { return absl::FromUnixMicros(unix_us_); }  // NOLINT

 private:
  std::int64_t unix_us_;
};

}  // namespace herald
