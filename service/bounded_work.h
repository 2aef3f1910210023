#pragma once

#include <cstddef>
#include <deque>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "session/mutex.h"

namespace herald {

// Work of which only some is under way at a time; the rest waits in order. For what takes much
// memory between its beginning and its end, on other threads.
//
// Threads: any.
// Limits:  `at_once` under way. How many wait is the caller's business: calls are bounded already
//          (call_memory.h).
class BoundedWork {
 public:
  explicit BoundedWork(std::size_t at_once) : free_(at_once) {}

  // Calls `begin`, now or from a later Leave. It has to lead to one Leave.
  void Enter(absl::AnyInvocable<void()> begin) {
    {
      MutexLock lock(mutex_);
      if (free_ == 0) return waiting_.push_back(std::move(begin));
      --free_;
    }
    begin();
  }
  // The end of what was begun. The next begins, before this returns.
  void Leave() {
    absl::AnyInvocable<void()> next;
    {
      MutexLock lock(mutex_);
      if (waiting_.empty()) {
        ++free_;
        return;
      }
      next = std::move(waiting_.front());
      waiting_.pop_front();
    }
    next();
  }

 private:
  Mutex mutex_;
  std::size_t free_ ABSL_GUARDED_BY(mutex_);
  std::deque<absl::AnyInvocable<void()>> waiting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace herald
