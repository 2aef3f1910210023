#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "session/mutex.h"

namespace herald {

// A value that is read all the time and replaced now and then, by a reload.
//
// Threads:   any. Reading is one load and takes no lock.
// Ownership: a value that has been replaced is kept for kKept, and until the next Set after that. So
//            what Get returns is for the work at hand, and not to be stored.
template <typename T>
class Current {
 public:
  static constexpr std::chrono::minutes kKept{10};

  explicit Current(std::shared_ptr<const T> value) { Set(std::move(value)); }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

  const T& Get() const { return *current_.load(std::memory_order_acquire); }
  const T* operator->() const { return &Get(); }

  void Set(std::shared_ptr<const T> value) {
    const auto now = std::chrono::steady_clock::now();
    MutexLock lock(mutex_);
    if (!kept_.empty()) kept_.back().second = now;
    std::erase_if(kept_, [now](const auto& old) { return now - old.second > kKept; });
    current_.store(value.get(), std::memory_order_release);
    kept_.emplace_back(std::move(value), now);
  }

 private:
  std::atomic<const T*> current_{nullptr};
  Mutex mutex_;
  // The last is the current one; the others with the time at which they were replaced.
  std::vector<std::pair<std::shared_ptr<const T>, std::chrono::steady_clock::time_point>> kept_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace herald
