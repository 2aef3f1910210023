#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "session/close.h"
#include "session/delivery_options.h"
#include "session/frame.h"
#include "session/message.h"
#include "session/message_run.h"

namespace herald {

// Whether a receipt counts what becomes of a message here.
enum class Tracking : std::uint8_t {
  kNone,
  kCounted,  // written and what follows
  kAgain,    // it has been written to this client before: only what follows
};

// One frame on its way, and what has to be known of it until it is gone.
struct Outbound {
  FramePtr frame;
  // Its messages, where something has to be known of them: a report is asked for, or it is one
  // message with options of its own or of a topic that drops. Null for all others, and then nothing
  // below matters but `awaited`.
  MessageRunPtr run;
  Overflow overflow = Overflow::kDisconnect;
  Tracking tracking = Tracking::kNone;
  bool gap = false;      // tells that messages of this topic were lost, `run` the last of them
  bool awaited = false;  // counts for awaited_gone()
  bool left = false;     // the client has left the topic: it will not acknowledge it
};

// Frames waiting for one session's socket.
//
// Order:     that of the pushes, but that PushAhead overtakes messages of other topics.
// Threads:   owning shard only.
// Ownership: shares frames with other sessions; copies no payload.
// Limits:    counts bytes; full at `max_bytes`. A single frame always fits into an empty queue.
// Memory:    no heap at rest: the storage is given back when the queue runs empty.
// Spec:      RFC 6455 §5.4, frames of two messages never interleave: one that is partly on the wire
//            stays first.
class OutboundQueue {
 public:
  // Told what becomes of frames that carry a `run`, and when the queue, empty so far, is to hold
  // something. Must not change the queue.
  class Observer {
   public:
    virtual void OnFilled() = 0;
    virtual void OnWritten(const Outbound& gone) = 0;
    virtual void OnDropped(const Outbound& gone, DropReason reason) = 0;

   protected:
    ~Observer() = default;
  };

  OutboundQueue(std::size_t max_bytes, Observer& observer)
      : observer_(observer), max_bytes_(max_bytes) {}

  bool Fits(std::size_t bytes) const { return empty() || bytes_ + bytes <= max_bytes_; }
  // Appends without asking whether it fits: control frames must always pass.
  void Push(Outbound out);
  void Push(FramePtr frame) { Push(Outbound{std::move(frame), nullptr}); }
  // Before all messages of other topics that are neither partly written nor ahead themselves, but
  // behind every control frame.
  void PushAhead(Outbound out);

  // Takes all that is unsent out of the queue, for something to be pushed before it; PutBack appends
  // it again. To be called one after the other, before anything is written.
  std::vector<Outbound> TakeAside();
  void PutBack(std::vector<Outbound> aside);

  // Points `out` at the bytes to write next, in order; returns how many entries it filled.
  std::size_t Gather(std::span<iovec> out) const;
  // `written` bytes went to the kernel. Frames that are whole on the wire are let go.
  void Consume(std::size_t written);

  // What was written past the queue, while it was empty.
  void CountDirect(std::uint64_t messages, std::uint64_t bytes) {
    messages_written_ += messages;
    bytes_written_ += bytes;
  }

  // Loads the oldest frame's entry, for a Gather that follows soon.
  void Prefetch() const { __builtin_prefetch(frames_.data() + head_); }

  // The session has left `topic`: marks what is tracked of it.
  void MarkLeft(std::string_view topic);

  // What follows lets go of messages of which nothing is on the wire yet, tells the observer, and
  // returns how many messages they were.

  // Those with the topic and the key of `by`.
  std::uint64_t DropCollapsed(const Message& by);
  std::uint64_t DropExpired(std::int64_t now_unix_ms);
  // The oldest that may be dropped for others (kDropOldest), until `bytes` fit. In the place of the
  // first of a topic stands `gap` of it, if it makes one.
  template <typename MakeGap>
  std::uint64_t DropOldest(std::size_t bytes, MakeGap&& gap);
  // Everything but a frame that is partly on the wire (which must be finished for the stream to
  // stay readable).
  std::uint64_t DropUnsent(DropReason reason);
  // The same with that frame too, once the connection has ended.
  std::uint64_t DropAll(DropReason reason);

  bool empty() const { return head_ == frames_.size(); }
  std::size_t bytes() const { return bytes_; }
  // DropExpired or DropCollapsed may find something.
  bool may_expire() const { return with_options_ > 0; }
  std::size_t frames() const { return frames_.size() - head_ - holes_; }
  // Frames and the holes between them: what its memory is for.
  std::size_t slots() const { return frames_.size() - head_; }
  // Frames pushed as `awaited` that are gone: written or dropped. They go in order.
  // Modulo 2^32.
  std::uint32_t awaited_gone() const { return awaited_gone_; }
  std::uint64_t messages_written() const { return messages_written_; }
  std::uint64_t bytes_written() const { return bytes_written_; }

 private:
  bool InQueue(std::size_t i) const { return frames_[i].frame != nullptr; }
  std::size_t FirstUnsent() const { return head_ + (head_written_ > 0 ? 1 : 0); }
  // Takes out what stands at `i`, which is unsent, and leaves a hole. Returns its messages.
  std::uint64_t TakeOut(std::size_t i, DropReason reason);
  void Append(Outbound out);
  // Holes at the front go at once, others when they are the greater part.
  void TidyUp();

  Observer& observer_;
  std::vector<Outbound> frames_;  // [head_, end) are waiting; those without a frame are holes
  std::uint32_t head_ = 0;
  std::uint32_t holes_ = 0;         // behind head_
  std::uint32_t head_written_ = 0;  // bytes of the head frame already on the wire
  std::uint32_t with_options_ = 0;  // waiting frames whose message may expire or collapse
  std::size_t bytes_ = 0;           // waiting, without head_written_
  const std::size_t max_bytes_;
  std::uint64_t messages_written_ = 0;
  std::uint64_t bytes_written_ = 0;
  std::uint32_t awaited_gone_ = 0;  // last: leaves room for a small member of the owner
};

template <typename MakeGap>
std::uint64_t OutboundQueue::DropOldest(std::size_t bytes, MakeGap&& gap) {
  std::uint64_t lost = 0;
  for (std::size_t i = FirstUnsent(); i < frames_.size() && !Fits(bytes); ++i) {
    const Outbound& out = frames_[i];
    if (!InQueue(i) || out.run == nullptr || out.gap || out.overflow != Overflow::kDropOldest)
      continue;
    const MessageRunPtr run = out.run;
    lost += TakeOut(i, DropReason::kSlowConsumer);
    if (FramePtr frame = gap(run->first())) {
      bytes_ += frame->bytes.size();
      frames_[i] = Outbound{std::move(frame), run, Overflow::kDisconnect, Tracking::kNone, true};
      --holes_;
    }
  }
  TidyUp();
  return lost;
}

}  // namespace herald
