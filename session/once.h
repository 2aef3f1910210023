#pragma once

#include <atomic>

namespace herald {

// Something that is done once, by whoever comes first; the others wait for it. As std::call_once,
// but without a system call where nobody waits: libstdc++'s wakes each time.
//
// Threads: any.
// Errors:  what is done must not throw.
class Once {
 public:
  template <typename F>
  void Do(F make) {
    int state = state_.load(std::memory_order_acquire);
    while (state != kDone) {
      if (state == kNew) {
        if (!state_.compare_exchange_weak(state, kBusy, std::memory_order_acquire)) continue;
        make();
        if (state_.exchange(kDone, std::memory_order_acq_rel) == kAwaited) state_.notify_all();
        return;
      }
      if (state == kBusy &&
          !state_.compare_exchange_weak(state, kAwaited, std::memory_order_acquire))
        continue;
      state_.wait(kAwaited, std::memory_order_acquire);
      state = state_.load(std::memory_order_acquire);
    }
  }

 private:
  static constexpr int kNew = 0, kBusy = 1, kAwaited = 2, kDone = 3;

  std::atomic<int> state_{kNew};
};

}  // namespace herald
