#include "service/call_memory.h"

namespace herald {
namespace {

// Of a limit, in percent: above it nothing new begins.
constexpr std::uint64_t kRoom = 75;
// A producer that holds no more than this part goes on where others hold the rest.
constexpr std::uint64_t kOwnPart = 16;

}  // namespace

void CallMemory::Hold::Set(std::size_t bytes) {
  if (bytes == bytes_) return;
  // Unsigned numbers: a smaller one adds the negative difference.
  const std::uint64_t change = std::uint64_t{bytes} - std::uint64_t{bytes_};
  memory_->bytes_.fetch_add(change, std::memory_order_relaxed);
  if (share_) share_->fetch_add(change, std::memory_order_relaxed);
  bytes_ = bytes;
}

bool CallMemory::Hold::TrySet(std::size_t bytes) {
  const std::size_t before = bytes_;
  Set(bytes);
  if (bytes <= before || WithinLimits()) return true;
  Set(before);
  memory_->CountLimited();
  return false;
}

bool CallMemory::Hold::HasRoom() const { return Below(kRoom); }

bool CallMemory::Hold::WithinLimits() const { return Below(100); }

bool CallMemory::Hold::Below(std::uint64_t percent) const {
  const std::uint64_t limit = memory_->max_bytes_.load(std::memory_order_relaxed) / 100 * percent;
  if (!share_) return memory_->bytes() <= limit;
  const std::uint64_t own = share_->load(std::memory_order_relaxed);
  return own <= limit / kOwnPart || (own <= limit / 2 && memory_->bytes() <= limit);
}

}  // namespace herald
