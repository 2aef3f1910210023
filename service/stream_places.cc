#include "service/stream_places.h"

#include <algorithm>

#include "fmt/format.h"

namespace herald {

absl::Status StreamPlaces::Take(const std::string& name, std::size_t share, std::size_t max) {
  MutexLock lock(mutex_);
  if (open_ >= max) {
    return absl::ResourceExhaustedError(fmt::format(
        "{} Push streams are open (max_push_streams); use fewer, they are pipelined", open_));
  }
  if (!name.empty()) {
    const std::size_t limit = share != 0 ? share : std::max<std::size_t>(max / 2, 1);
    const auto held = by_producer_.find(name);
    if (held != by_producer_.end() && held->second >= limit) {
      return absl::ResourceExhaustedError(fmt::format(
          "producer \"{}\" has {} Push streams open ({}); use fewer, they are pipelined", name,
          held->second, share != 0 ? "its push_streams" : "half of max_push_streams"));
    }
    ++by_producer_[name];
  }
  ++open_;
  return absl::OkStatus();
}

void StreamPlaces::Release(const std::string& name) {
  MutexLock lock(mutex_);
  --open_;
  if (name.empty()) return;
  const auto held = by_producer_.find(name);
  if (--held->second == 0) by_producer_.erase(held);
}

}  // namespace herald
