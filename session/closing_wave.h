#pragma once

#include <chrono>
#include <cstddef>

#include "absl/time/time.h"
#include "session/close.h"
#include "session/timer_wheel.h"

namespace herald {

class Shard;

// The close of a session whose replica ends: 1012, and come back after anything up to `spread`.
CloseRequest RestartClose(absl::Duration spread);

// Ends the sessions of one shard evenly over a time, so that they come back evenly.
//
// Each tick closes the sessions open now, parted by the ticks that are left. So it holds no list that
// could grow stale: who leaves by himself or comes late is in the next division, and after a stall
// what is left is spread over the time that is left. When the time is over, whoever still comes is
// closed within a tick.
//
// Threads:   owning shard only.
// Precision: the last is closed by the end of the time, or a tick of the wheel later.
class ClosingWave final : private Timer {
 public:
  explicit ClosingWave(Shard& shard) : shard_(shard) {}

  // Closes all by `over` from now, each told to come back within `spread`. To be called again when
  // there is less time than there was.
  void Start(absl::Duration over, absl::Duration spread);

 private:
  void OnTimer() override;

  Shard& shard_;
  std::chrono::steady_clock::time_point end_;
  absl::Duration spread_;
  double due_ =
      -1;  // closes that are due, with the fraction that waits for the next tick; -1: not begun
};

}  // namespace herald
