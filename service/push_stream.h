#pragma once

#include <google/protobuf/arena.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "service/call_memory.h"
#include "service/command_runner.h"
#include "service/executor.h"
#include "service/idempotent_runner.h"
#include "service/push_request_reader.h"
#include "session/mutex.h"

namespace herald {

// The commands and results of one Push stream: order, flow control, nothing of gRPC.
//
// Order:     commands run in the order of the stream; after a join, leave, disconnect or set-
//            labels the deliveries wait until it is in force, and behind a repeat of what another
//            stream has in flight everything waits for its result.
// Limits:    at most `max_in_flight` commands without a written result before WantsRequest says no
//            (one request may go over it by its own size, at most PushRequestReader::kMaxCommands).
//            While a mailbox of a shard stands above its high watermark, or kMaxOpenReceipts are
//            awaited or not written yet, WantsRequest says no too.
// Memory:    of the request, of results and of receipts counts in CallMemory. Above its limits no
//            request is read and no command is run, and a request that comes all the same ends the
//            stream, unless it is all that the producer holds.
// Fairness:  runs commands of kCostATurn a turn. A producer above its rate (producers_file) is not
//            read further until it is below it again.
// Rights:    of the producer, as they are when a request comes.
// Threads:   OnRequest, WantsRequest, TakeResponse and OnWritten are called by the reactor, the first
//            never twice at once; results come from any thread. `wake` is called on the executor
//            when one of these may have changed.
class PushStream : public std::enable_shared_from_this<PushStream> {
 public:
  // After commands of one request that cost so much (CommandCost) the other streams of the thread have
  // their turn. The last one may go over it by its own.
  static constexpr std::uint64_t kCostATurn = 256;
  static constexpr std::size_t kMaxOpenReceipts = 65'536;

  PushStream(IdempotentRunner runner, std::vector<std::unique_ptr<Shard>>& shards,
             Executor& executor, std::size_t max_in_flight, CallMemory& memory,
             std::string traceparent);

  void set_wake(absl::AnyInvocable<void()> wake) { wake_ = std::move(wake); }
  // On the executor: no wake comes after this. Nobody is left who wants results; commands that have
  // been read are carried out.
  void Detach();

  // A PushRequest as it came over the wire, once WantsRequest has said yes: runs what may run now. An
  // error ends the stream.
  absl::Status OnRequest(std::string wire);
  // True if the next request may be read.
  bool WantsRequest();
  // Moves what is ready into `response`; false if there is nothing.
  bool TakeResponse(v1::PushResponse* response);
  // Tells the producer to go on elsewhere: the next response says so.
  void Announce(absl::Duration within, const std::string& reason);
  // The response taken last is on its way.
  void OnWritten();
  // True if every command that has been or will be run has its result and its receipt, and all are
  // written.
  bool Idle();
  // Why the stream has to end: no further command is run. A command has been answered UNAVAILABLE,
  // where the producer has asked for an end then, or one cannot be read.
  std::optional<absl::Status> Stopped() const;

 private:
  // Runs commands until one has to wait, or for one turn. Never on two threads at once.
  void Pump();
  // Parses the next part of the request, or lets go of it.
  void NextPart();
  // True if the producer is above its rate: then a wake comes when it may be read again.
  bool WaitsForRate();
  bool HasMemory() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // A wake comes when there may be memory again.
  void WaitForMemory();
  void DropResults() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CountHeld() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Stop(absl::Status why);
  bool MayRunNext() const;
  // Returns what the command costs.
  std::uint64_t RunNext();
  // What was answered at once becomes ready.
  void HandOver() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetOpened(std::uint64_t last_seq) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // `awaited`: what was counted for its result.
  void OnResult(bool change, bool reports, std::size_t awaited, v1::CommandResult result);
  void StopIfUnavailable(const v1::CommandResult& result);
  void OnReceipt(v1::Receipt receipt);
  void ScheduleWake();

  IdempotentRunner runner_;
  std::vector<std::unique_ptr<Shard>>& shards_;
  Executor& executor_;
  const std::size_t max_in_flight_;
  absl::AnyInvocable<void()> wake_;  // executor only, but for the set-up

  // Of who pumps; of the reactor while the last request has run. Handed over under the lock.
  CommandRunner::Context context_;
  PushRequestReader reader_;
  google::protobuf::Arena arena_;    // holds the part
  v1::PushRequest* part_ = nullptr;  // of the request
  int next_in_part_ = 0;             // a command
  int commands_ = 0;                 // of the request
  int next_command_ = 0;
  v1::PushResponse pumped_;  // results that were there at once
  std::size_t pumped_bytes_ = 0;
  bool ran_large_ = false;  // the last command has a large result
  std::string producer_id_;
  std::atomic<bool> end_at_unavailable_{false};
  std::atomic<bool> stopped_{false};

  mutable Mutex mutex_;
  // Control commands not in force yet. It grows only while pumping, and others lower it only under
  // the lock.
  std::atomic<std::size_t> changes_{0};
  std::atomic<std::size_t> deferred_{0};  // deliveries that are answered later, the same
  // The other nodes are asked what they know of the producer: no command runs before they have
  // answered. Lowered under the lock.
  std::atomic<bool> opening_{false};
  bool pumping_ ABSL_GUARDED_BY(mutex_) = false;
  bool detached_ ABSL_GUARDED_BY(mutex_) = false;
  bool first_ ABSL_GUARDED_BY(mutex_) = true;
  bool waiting_for_mailbox_ ABSL_GUARDED_BY(mutex_) = false;
  bool waiting_for_rate_ ABSL_GUARDED_BY(mutex_) = false;
  bool waiting_for_memory_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status stop_ ABSL_GUARDED_BY(mutex_);
  bool wake_scheduled_ ABSL_GUARDED_BY(mutex_) = false;
  std::size_t in_flight_ ABSL_GUARDED_BY(mutex_) = 0;  // read, and result not written
  std::size_t receipts_ ABSL_GUARDED_BY(mutex_) = 0;   // asked for, and not written
  std::size_t writing_ ABSL_GUARDED_BY(mutex_) = 0;    // results in the response taken last
  std::size_t writing_receipts_ ABSL_GUARDED_BY(mutex_) = 0;
  v1::PushResponse ready_ ABSL_GUARDED_BY(mutex_);
  std::size_t request_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::size_t awaited_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // of large results that will come
  std::size_t ready_bytes_ ABSL_GUARDED_BY(mutex_) = 0;    // of results in `ready_`
  std::size_t writing_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // of those in the response taken last
  CallMemory::Hold hold_ ABSL_GUARDED_BY(mutex_);          // these, and `receipts_`
};

}  // namespace herald
