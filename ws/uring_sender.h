#pragma once

#include <liburing.h>
#include <sys/socket.h>

#include <vector>

#include "absl/status/status.h"
#include "session/batch_sender.h"

namespace herald {

// All sends of a batch with one system call, by io_uring(7). What is saved is the way into the
// kernel and back, and the receiver's wake-up between two sends (docs/performance.md, P2).
//
// Threads:   one, which is also the one that first sends: the ring is made then.
// Ownership: owns the ring. Nothing is in flight between two calls.
// Errors:    if the kernel takes the ring away after Check, sends go one by one from then on.
// Spec:      io_uring_enter(2); sends with MSG_DONTWAIT complete where they are submitted.
class UringSender final : public BatchSender {
 public:
  UringSender() = default;
  ~UringSender() override;
  UringSender(const UringSender&) = delete;
  UringSender& operator=(const UringSender&) = delete;

  // Whether this kernel has it and lets us; containers often do not. kUnavailable says why.
  static absl::Status Check();

  void SendAll(std::span<Send> sends) override;

 private:
  enum class State { kNew, kOpen, kRefused };

  // False if the ring broke; what it has done by then is in the results.
  bool Submit(std::span<Send> sends);
  void Close(State next);

  State state_ = State::kNew;
  io_uring ring_{};
  std::vector<msghdr> headers_;
};

}  // namespace herald
