#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "session/message.h"
#include "session/mutex.h"
#include "session/tally.h"

namespace herald {

// One thing for a shard to do: deliver a message to its topic's subscribers, or run a task.
struct Mail {
  MessagePtr message;
  ExceptionsPtr except;
  TallyPtr tally;
  absl::AnyInvocable<void()> task;
  std::size_t task_bytes = 0;  // what the task holds, for the watermark

  std::size_t bytes() const { return message ? message->body().payload.size() : task_bytes; }
};

// How much may wait in a mailbox before producers are asked to stop.
struct MailboxLimits {
  std::size_t high_messages = 16'384;
  std::size_t high_bytes = 64u << 20;
};

// The only way into a shard from another thread.
//
// Threads:   Post and NotifyWhenLow from any; Take from the owning shard only.
// Limits:    nothing is refused here. Producers ask `AboveHighWatermark` before they read more and
//            come back through `NotifyWhenLow`, so what waits is bounded by the watermark plus
//            what each producer had already read.
class Mailbox {
 public:
  explicit Mailbox(MailboxLimits limits) : limits_(limits) {}

  // Returns true if the mailbox was empty: the caller then wakes the shard, once per burst.
  bool Post(Mail mail);

  // Swaps all mail into `out` (which must be empty), in order of posting.
  void Take(std::vector<Mail>& out);
  // `n` mails that had been taken are done; below half of the watermark, waiting producers are
  // called.
  void Done(std::size_t messages, std::size_t bytes);

  bool AboveHighWatermark() const;
  // Calls `resume` on the shard's thread once the mailbox has run down to half of its watermark.
  // False, and nothing is kept, if it is not above the high watermark now.
  bool NotifyWhenLow(absl::AnyInvocable<void()> resume);

  std::size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  std::size_t depth() const { return messages_.load(std::memory_order_relaxed); }

 private:
  const MailboxLimits limits_;
  std::atomic<std::size_t> messages_{0};  // posted and not done
  std::atomic<std::size_t> bytes_{0};
  Mutex mutex_;
  std::vector<Mail> mails_ ABSL_GUARDED_BY(mutex_);
  std::vector<absl::AnyInvocable<void()>> waiting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace herald
