#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "session/frame.h"

namespace herald {

// Frames waiting for one session's socket.
//
// Threads:   owning shard only.
// Ownership: shares frames with other sessions; copies no payload.
// Limits:    counts bytes; full at `max_bytes`. A single frame always fits into an empty queue.
// Memory:    no heap at rest: the storage is given back when the queue runs empty.
// Spec:      RFC 6455 §5.4, frames of two messages never interleave.
class OutboundQueue {
 public:
  explicit OutboundQueue(std::size_t max_bytes) : max_bytes_(max_bytes) {}

  bool Fits(std::size_t bytes) const { return empty() || bytes_ + bytes <= max_bytes_; }
  // Appends without asking whether it fits: control frames must always pass.
  void Push(FramePtr frame);

  // Points `out` at the bytes to write next, in order; returns how many entries it filled.
  std::size_t Gather(std::span<iovec> out) const;
  // `written` bytes went to the kernel. Frames that are whole on the wire are let go.
  void Consume(std::size_t written);

  // Lets go of everything but a frame that is partly on the wire (which must be finished for the
  // stream to stay readable). Returns how many messages were lost.
  std::uint64_t DropUnsent();
  // The same with that frame too, once the connection has ended.
  std::uint64_t DropAll();

  bool empty() const { return head_ == frames_.size(); }
  std::size_t bytes() const { return bytes_; }
  std::size_t frames() const { return frames_.size() - head_; }
  // Frames pushed and frames let go since the start, neither ever goes back: who waits for a frame
  // to be written (or dropped) remembers `pushed()` after its Push and waits for `popped()` to
  // reach it.
  std::uint64_t pushed() const { return popped_ + frames(); }
  std::uint64_t popped() const { return popped_; }
  std::uint64_t messages_written() const { return messages_written_; }
  std::uint64_t bytes_written() const { return bytes_written_; }

 private:
  void ReleaseIfEmpty();

  std::vector<FramePtr> frames_;  // [head_, end) are waiting
  std::size_t head_ = 0;
  std::size_t head_written_ = 0;  // bytes of the head frame already on the wire
  std::size_t bytes_ = 0;         // waiting, without head_written_
  const std::size_t max_bytes_;
  std::uint64_t popped_ = 0;
  std::uint64_t messages_written_ = 0;
  std::uint64_t bytes_written_ = 0;
};

}  // namespace herald
