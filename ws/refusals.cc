#include "ws/refusals.h"

#include <utility>

namespace herald {
namespace {

// In the order of RefusalReason.
constexpr std::array<RefusalKind, kRefusalReasons> kKinds = {{
    {"malformed", 400},
    {"body", 400},
    {"query", 400},
    {"subprotocol", 400},
    {"token", 401},
    {"origin", 403},
    {"not_found", 404},
    {"method", 405},
    {"timeout", 408},
    {"host", 421},
    {"not_upgrade", 426},
    {"address", 429},
    {"header_too_large", 431},
    {"full", 503},
    {"rate", 503},
    {"memory", 503},
    {"draining", 503},
}};

}  // namespace

const RefusalKind& KindOf(RefusalReason reason) { return kKinds[static_cast<std::size_t>(reason)]; }

void Refusals::Add(const Refusal& refusal, const std::string& address) {
  const auto index = static_cast<std::size_t>(refusal.reason);
  Slot& slot = slots_[index];
  slot.count.fetch_add(1, std::memory_order_relaxed);
  if (slot.has_example.load(std::memory_order_relaxed)) return;
  MutexLock lock(mutex_);
  if (slot.has_example) return;
  examples_[index] = {refusal.reason, 0, refusal.text, refusal.detail, address};
  slot.has_example = true;
}

std::uint64_t Refusals::total() const {
  std::uint64_t total = 0;
  for (const Slot& slot : slots_) total += slot.count.load(std::memory_order_relaxed);
  return total;
}

std::optional<Refusals::Example> Refusals::Take() {
  for (std::size_t i = 0; i < kRefusalReasons; ++i) {
    const std::size_t index = (next_ + i) % kRefusalReasons;
    Slot& slot = slots_[index];
    if (!slot.has_example) continue;
    next_ = index + 1;
    MutexLock lock(mutex_);
    Example example = std::move(examples_[index]);
    slot.has_example = false;
    const std::uint64_t count = slot.count.load(std::memory_order_relaxed);
    example.count = count - std::exchange(slot.taken, count);
    return example;
  }
  return std::nullopt;
}

}  // namespace herald
