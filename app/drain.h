#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "service/command_runner.h"
#include "service/grpc_server.h"
#include "service/node_stats.h"
#include "session/receipt_clock.h"
#include "session/shard.h"
#include "ws/front_end.h"
#include "ws/listener.h"

namespace herald {

// The orderly end of a replica (docs/decisions/0010-drain.md):
//
//   not ready → no new connections; GOAWAY and the move notice to producers → sessions closed with
//   1012, evenly over the time, each after what is queued for it → what open streams are owed →
//   summary
//
// Sessions get messages until their turn, and open streams are served until the last session has
// gone.
//
// Threads:   Run on one that may block; Hurry on any, and from a signal's handler of Asio's.
class Drain {
 public:
  struct Parts {
    FrontEnd& front_end;
    Listener& listener;
    std::vector<std::unique_ptr<Shard>>& shards;
    GrpcServer& grpc;
    ReceiptClock& receipts;
    CommandRunner& runner;
    NodeStats& stats;
  };
  explicit Drain(Parts parts) : parts_(parts) {}

  // Takes `over`, and some seconds more where clients do not answer their close. Less if all
  // sessions are gone before.
  void Run(absl::Duration over);
  // Whoever is still there is closed now, and told to spread over the time that was left.
  void Hurry() { hurry_ = true; }

 private:
  void StopAccepting(absl::Duration over);
  void CloseSessions(absl::Duration over);
  // True once there is none, or `until` has come.
  bool AwaitNoSessions(absl::Time until) const;
  void EndStreams(absl::Time begun, absl::Duration over);

  const Parts parts_;
  std::atomic<bool> hurry_{false};
};

}  // namespace herald
