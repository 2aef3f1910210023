#include "session/memory_budget.h"

namespace herald {
namespace {

// Percent of max_memory_bytes. The gaps keep a level from flapping.
constexpr std::uint64_t kTightAt = 85, kTightUntil = 78;
constexpr std::uint64_t kFullAt = 95, kFullUntil = 90;

}  // namespace

MemoryLevel MemoryBudget::Update(const Held& held, std::uint64_t resident) {
  std::uint64_t used = resident;
  for (std::size_t i = 0; i < kMemoryAccounts; ++i)
    held_[i].store(held[i], std::memory_order_relaxed);
  // All other accounts are part of the resident set.
  used += held[static_cast<std::size_t>(MemoryAccount::kSockets)];
  used_.store(used, std::memory_order_relaxed);
  const std::uint64_t percent = max_bytes() / 100;
  const MemoryLevel before = level();
  MemoryLevel level = MemoryLevel::kNormal;
  if (used >= kFullAt * percent || (before == MemoryLevel::kFull && used >= kFullUntil * percent)) {
    level = MemoryLevel::kFull;
  } else if (used >= kTightAt * percent ||
             (before != MemoryLevel::kNormal && used >= kTightUntil * percent)) {
    level = MemoryLevel::kTight;
  }
  level_.store(level, std::memory_order_relaxed);
  return level;
}

std::uint64_t MemoryBudget::excess() const {
  const std::uint64_t enough = max_bytes() / 100 * kFullUntil;
  return used() > enough ? used() - enough : 0;
}

}  // namespace herald
