#pragma once

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "session/mutex.h"
#include "session/string_map.h"

namespace herald {

// The open Push streams, and which producer has how many, so that no producer takes all places.
//
// Threads: any.
// Limits:  `max` streams in all; of one producer its `push_streams`, and without that half of `max`.
class StreamPlaces {
 public:
  // kResourceExhausted names the limit. `name`: empty for callers without an identity, who share all
  // places. `share`: 0 is the default.
  absl::Status Take(const std::string& name, std::size_t share, std::size_t max);
  // Gives back a place that was taken.
  void Release(const std::string& name);
  std::size_t open() const {
    MutexLock lock(mutex_);
    return open_;
  }

 private:
  mutable Mutex mutex_;
  std::size_t open_ ABSL_GUARDED_BY(mutex_) = 0;
  StringMap<std::size_t> by_producer_ ABSL_GUARDED_BY(mutex_);  // only those with open streams
};

}  // namespace herald
