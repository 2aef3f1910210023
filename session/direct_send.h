#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <vector>

#include "session/batch_sender.h"
#include "session/direct_slots.h"
#include "session/frame.h"

namespace herald {

class Session;
class Shard;

// Writes a frame straight to the sockets of sessions that have nothing queued before it. What a
// socket does not take is queued, and flushed with the drain.
//
// Of a session whose slot is open nothing but the slot is looked at; through its queue there are
// three walks over the sessions, with the kernel's work between them that drives them out of the
// caches (docs/performance.md, P2).
//
// Threads:   owning shard only.
// Ownership: sessions and frames that were added must live until Finish.
class DirectSend {
 public:
  explicit DirectSend(Shard& shard) : shard_(shard) {}

  // From now on many are written to with one call; before, each with a call of its own.
  void set_batch(BatchSender& batch) { batch_ = &batch; }

  // False if the session has to queue it. All frames of an encoding are the same one until Finish.
  // `slot` is the session's.
  bool Add(Session& session, DirectSlot& slot, const FramePtr& frame);
  void Finish();

 private:
  struct Target {
    Session* session;
    const FramePtr* frame;
  };
  void SendBatch();
  void Settle(const Target& target, ssize_t result);

  Shard& shard_;
  BatchSender* batch_ = nullptr;
  std::array<iovec, kEncodings> buffers_{};
  std::vector<BatchSender::Send> sends_;
  std::vector<Target> targets_;  // of `sends_`
  // Written whole since the last Finish.
  std::uint64_t messages_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace herald
