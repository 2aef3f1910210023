#pragma once

#include <array>
#include <cstdint>

#include "absl/time/time.h"

namespace herald {

class TimerWheel;

// Something with at most one pending deadline, as a base of what owns it: costs no allocation.
// Destroying it cancels.
class Timer {
 public:
  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  bool pending() const { return next_ != nullptr; }

 protected:
  ~Timer() { Unlink(); }
  // The deadline passed. May schedule again or destroy this.
  virtual void OnTimer() = 0;

 private:
  friend class TimerWheel;
  void Unlink();

  Timer* next_ = nullptr;
  Timer* previous_ = nullptr;
  std::uint64_t deadline_ = 0;  // in ticks
};

// All deadlines of a shard, in one hashed wheel (Varghese and Lauck, 1987, scheme 6): scheduling
// and cancelling are O(1) whatever the number of sessions, and one system timer serves them all.
//
// Threads:   owning shard only.
// Precision: never early, late by up to one tick of 100 ms.
class TimerWheel {
 public:
  static constexpr absl::Duration kTick = absl::Milliseconds(100);

  TimerWheel();

  // Replaces the deadline `timer` had.
  void Schedule(Timer& timer, absl::Duration after);
  void Cancel(Timer& timer) { timer.Unlink(); }
  // Runs what is due; to be called once a tick, with the ticks that passed since the last call.
  void Advance(std::uint64_t ticks);

 private:
  // List heads are timers that never fire.
  struct Head final : Timer {
    void OnTimer() override {}
  };
  void Link(Timer& timer, Head& head);
  void Tick();

  std::array<Head, 512> slots_;
  std::uint64_t now_ = 0;  // ticks since the start
};

}  // namespace herald
