#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>

#include "absl/time/time.h"
#include "broker/broker.h"
#include "herald/v1/admin_service.pb.h"
#include "service/command_runner.h"
#include "session/event_hub.h"
#include "session/mutex.h"
#include "session/session_table.h"

namespace herald {

// What this node does, in numbers: totals now, and rates over the last ten seconds.
//
// Threads:   any. `Sample` is to be called once a second.
class NodeStats {
 public:
  NodeStats(SessionTable& table, Broker& broker, CommandRunner& runner, EventHub& events,
            std::function<std::size_t()> push_streams);

  void Sample(absl::Time now);

  struct Totals {
    std::uint64_t sessions = 0, sessions_opened = 0, commands = 0, deliveries = 0, bytes_out = 0,
                  client_frames = 0, drains = 0;
    std::int64_t queued_bytes = 0;
    std::uint64_t mailbox_depth = 0;
    std::array<std::uint64_t, kDropReasons> dropped{};
  };
  Totals Count() const;
  v1::NodeInfo Describe(absl::Time now) const;
  // This replica is about to end.
  std::atomic<bool> draining{false};

 private:
  struct Sampled {
    absl::Time at;
    Totals totals;
  };

  SessionTable& table_;
  Broker& broker_;
  CommandRunner& runner_;
  EventHub& events_;
  const std::function<std::size_t()> push_streams_;
  const absl::Time started_;
  mutable Mutex mutex_;
  std::array<Sampled, 11> samples_ ABSL_GUARDED_BY(mutex_);
  std::size_t next_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Resident set of this process, in bytes (proc(5), statm).
std::uint64_t ResidentBytes();

}  // namespace herald
