#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/functional/any_invocable.h"

namespace herald {

// Gathers a count from several shards and calls `done` with the sum when the last has answered.
//
// Threads:   any. `done` runs on the thread that answers last; it must not block.
class Tally {
 public:
  explicit Tally(absl::AnyInvocable<void(std::uint64_t)> done) : done_(std::move(done)) {}

  // One more answer is awaited. Must not be called after the count of awaited answers fell to zero;
  // who sends out questions holds one itself (the constructor's) and gives it back with Answer(0).
  void Expect() { awaited_.fetch_add(1, std::memory_order_relaxed); }
  void Answer(std::uint64_t count) {
    sum_.fetch_add(count, std::memory_order_relaxed);
    if (awaited_.fetch_sub(1, std::memory_order_acq_rel) == 1)
      done_(sum_.load(std::memory_order_relaxed));
  }

 private:
  std::atomic<std::uint32_t> awaited_{1};
  std::atomic<std::uint64_t> sum_{0};
  absl::AnyInvocable<void(std::uint64_t)> done_;
};
using TallyPtr = std::shared_ptr<Tally>;

}  // namespace herald
