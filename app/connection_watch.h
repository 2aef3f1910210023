#pragma once

#include <prometheus/metric_family.h>

#include <cstdint>
#include <vector>

#include "ws/front_end.h"

namespace herald {

// Tells operators which client connections Herald refused or closed for want of room: as metrics, and
// once a second as one log line, if there were any.
//
// Threads: Log on one thread; Metrics on any.
class ConnectionWatch {
 public:
  explicit ConnectionWatch(const FrontEnd& front_end) : front_end_(front_end) {}

  // What has happened since the last call.
  void Log();
  static std::vector<prometheus::MetricFamily> Metrics(const FrontEnd& front_end);

 private:
  const FrontEnd& front_end_;
  std::uint64_t refused_[Admission::kVerdicts]{};
  std::uint64_t evicted_ = 0;
  std::uint64_t bad_proxy_headers_ = 0;
  std::uint64_t accept_errors_[AcceptErrors::kKinds]{};
};

}  // namespace herald
