#pragma once

#include "absl/time/time.h"

namespace herald {

// How long to wait before the next try: exponential with full jitter, so that the producers of a
// restarted server do not come back all at once.
//
// Threads: one at a time.
class Backoff {
 public:
  // The n-th wait, from 0, is anything up to `initial` × 2^n, and never more than `max`.
  Backoff(absl::Duration initial, absl::Duration max) : initial_(initial), max_(max) {}

  absl::Duration Next();
  // Things went well: begin again.
  void Reset() { tries_ = 0; }
  // Next() calls since the last Reset().
  int tries() const { return tries_; }

 private:
  const absl::Duration initial_;
  const absl::Duration max_;
  int tries_ = 0;
};

}  // namespace herald
