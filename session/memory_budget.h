#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "session/memory_shares.h"

namespace herald {

// How much work the replica takes on, by what memory is left.
enum class MemoryLevel : std::uint8_t {
  kNormal,
  kTight,  // no new sessions, no big messages
  kFull,   // no new messages either; what is held for the slowest is let go of
};
inline constexpr std::array<const char*, 3> kMemoryLevelNames = {"normal", "tight", "full"};

// A message up to this long passes at kTight.
inline constexpr std::size_t kSmallMessageBytes = 4096;

// False if a message of so many bytes is to be refused with RESOURCE_EXHAUSTED.
constexpr bool TakesMessage(MemoryLevel level, std::size_t bytes) {
  return level == MemoryLevel::kNormal ||
         (level == MemoryLevel::kTight && bytes <= kSmallMessageBytes);
}

// The one owner of the sum: what the process and its sockets hold, against max_memory_bytes.
//
// Accounts are counted where the memory is held, each by its owner, and summed by Update. Each has
// a share of its own (memory_shares.h) and is kept below it at once, where it grows: so between two
// updates only what no account counts can grow. Update compares the sum with the resident set, the
// truth of last resort.
//
// Threads:   Update and SetMax by one thread; the rest by any. No lock.
// Limits:    kTight at 85 % of max_memory_bytes, until down to 78 %; kFull at 95 %, until 90 %.
class MemoryBudget {
 public:
  explicit MemoryBudget(std::uint64_t max_bytes) : max_bytes_(max_bytes) {}

  using Held = std::array<std::uint64_t, kMemoryAccounts>;
  // `held`: bytes by account. `resident`: of the process, without the kernel's part. Returns the new
  // level.
  MemoryLevel Update(const Held& held, std::uint64_t resident);
  void SetMax(std::uint64_t max_bytes) { max_bytes_.store(max_bytes, std::memory_order_relaxed); }

  MemoryLevel level() const { return level_.load(std::memory_order_relaxed); }
  std::uint64_t max_bytes() const { return max_bytes_.load(std::memory_order_relaxed); }
  // As of the last update: the resident set and the sockets.
  std::uint64_t used() const { return used_.load(std::memory_order_relaxed); }
  std::uint64_t held(MemoryAccount account) const {
    return held_[static_cast<std::size_t>(account)].load(std::memory_order_relaxed);
  }
  // How much has to go so that kFull ends; 0 if nothing.
  std::uint64_t excess() const;

 private:
  std::atomic<std::uint64_t> max_bytes_;
  std::atomic<std::uint64_t> used_{0};
  std::atomic<MemoryLevel> level_{MemoryLevel::kNormal};
  std::array<std::atomic<std::uint64_t>, kMemoryAccounts> held_{};
};

}  // namespace herald
