#include "session/receipt_clock.h"

namespace herald {

void ReceiptClock::Schedule(const ReceiptPtr& receipt, absl::Time deadline) {
  const std::int64_t tick = absl::ToUnixMillis(deadline) / absl::ToInt64Milliseconds(kTick) + 1;
  MutexLock lock(mutex_);
  due_[tick].push_back(receipt);
}

void ReceiptClock::Advance(absl::Time now) {
  const std::int64_t tick = absl::ToUnixMillis(now) / absl::ToInt64Milliseconds(kTick);
  while (true) {
    std::vector<std::weak_ptr<Receipt>> receipts;
    {
      MutexLock lock(mutex_);
      if (due_.empty() || due_.begin()->first > tick) return;
      receipts = std::move(due_.begin()->second);
      due_.erase(due_.begin());
    }
    for (const auto& weak : receipts) {
      if (const ReceiptPtr receipt = weak.lock()) receipt->Expire();
    }
  }
}

}  // namespace herald
