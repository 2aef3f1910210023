#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "app/cgroup_memory.h"
#include "app/config.h"
#include "broker/broker.h"
#include "service/call_memory.h"
#include "service/command_runner.h"
#include "service/idempotency.h"
#include "session/event_hub.h"
#include "session/memory_budget.h"
#include "session/shard.h"
#include "ws/front_end.h"

namespace herald {

// Keeps the process and its sockets below max_memory_bytes: sums what the parts count, compares it
// with what the kernel counts, tells the doors the level, and has memory let go of where it is full.
//
// What goes at MemoryLevel::kFull, in this order: free memory that the allocator keeps; histories,
// the largest topic first, down to half of their share; sessions, the slowest first (4413).
//
// Threads:   Tick and SetLimits on one thread; the rest on any.
// Limits:    one log line a second.
class MemoryWatch {
 public:
  struct Parts {
    std::vector<std::unique_ptr<Shard>>& shards;
    Broker& broker;
    const EventHub& events;
    const Idempotency& idempotency;
    const CallMemory& calls;
    CommandRunner& runner;
    FrontEnd& front_end;
  };
  MemoryWatch(Parts parts, const Config& config);

  // To be called every 100 ms.
  void Tick(absl::Time now);
  // Limits of a reload.
  void SetLimits(const Config& config);

  const MemoryBudget& budget() const { return budget_; }
  // Times histories were cut for memory, and sessions closed: by account.
  std::uint64_t history_cuts() const { return history_cuts_.load(std::memory_order_relaxed); }
  std::uint64_t calls_limited() const { return parts_.calls.limited(); }
  std::uint64_t sessions_closed(SlowSessions::Reason reason) const;
  std::uint64_t messages_refused(bool authenticated, UnfinishedMessage::Refusal why) const;

 private:
  MemoryBudget::Held Count(std::uint64_t resident) const;
  MemoryLevel Update();
  void FreeSockets() const;
  void LetGo();
  void Log(absl::Time now, MemoryLevel level);
  std::uint64_t Shed() const;

  const Parts parts_;
  const CgroupMemory cgroup_;
  MemoryBudget budget_;
  std::uint64_t send_buffer_bytes_;  // of one socket, as the kernel counts
  absl::Time next_purge_ = absl::InfinitePast();
  absl::Time next_cut_ = absl::InfinitePast();
  absl::Time next_log_ = absl::InfinitePast();
  MemoryLevel logged_level_ = MemoryLevel::kNormal;
  std::uint64_t logged_shed_ = 0;
  std::atomic<std::uint64_t> history_cuts_{0};
};

}  // namespace herald
