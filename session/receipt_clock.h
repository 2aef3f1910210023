#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "session/mutex.h"
#include "session/receipt.h"

namespace herald {

// Ends receipts whose time is up.
//
// Threads:   any. One lock, taken once for each command that asked for a report.
// Ownership: holds no receipt alive.
// Precision: never early, late by up to the time between two calls of Advance.
class ReceiptClock {
 public:
  // Calls come this often.
  static constexpr absl::Duration kTick = absl::Milliseconds(100);

  void Schedule(const ReceiptPtr& receipt, absl::Time deadline);
  // Expires what is due. To be called every kTick.
  void Advance(absl::Time now);

 private:
  Mutex mutex_;
  // By the tick (since the epoch of Unix) at which they are due.
  std::map<std::int64_t, std::vector<std::weak_ptr<Receipt>>> due_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace herald
