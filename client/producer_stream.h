#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/channel.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/synchronization/mutex.h"
#include "client/backoff.h"
#include "client/outbox.h"
#include "client/producer.h"
#include "client/push_call.h"
#include "herald/v1/push_service.grpc.pb.h"

namespace herald {

// All there is, shared with the call and the alarm that are under way.
//
// Results, receipts and news wait in `events_` until one thread at a time hands them over, without
// the lock. gRPC's methods are called without it as well, since they may run reactions, but for the
// alarm's, which run elsewhere.
class ProducerStream final : public PushCall::Listener,
                             public std::enable_shared_from_this<ProducerStream> {
 public:
  ProducerStream(const std::vector<std::shared_ptr<grpc::ChannelInterface>>& channels,
                 Producer::Options options)
      : options_(std::move(options)),
        resends_(!options_.producer_id.empty()),
        outbox_(resends_),
        backoff_(options_.initial_backoff, options_.max_backoff) {
    for (const auto& channel : channels) stubs_.push_back(v1::PushService::NewStub(channel));
  }

  void Connect();

  absl::Status Send(v1::Command&& command, OnResult on_result, OnReceipt on_receipt,
                    Producer::More more);
  void Kick();
  absl::Status WaitForRoom(absl::Time deadline);
  absl::Status Flush(absl::Time deadline);
  absl::Status Close(absl::Time deadline);
  void End(const absl::Status& status);
  // After End: until nothing is under way. Lets the channel and the callbacks go, on this thread.
  void Join();
  std::size_t unanswered() const {
    absl::MutexLock lock(&mutex_);
    return outbox_.size() + answers_;
  }

 private:
  enum class State {
    kConnecting,  // a call is being made, or an alarm is
    kWaiting,     // for the alarm
    kStreaming,   // there is a call
    kDone,        // and nothing will be under way again
  };
  struct Answer {
    OnResult on_result;
    absl::StatusOr<v1::CommandResult> result;
  };
  struct Report {
    OnReceipt on_receipt;
    absl::StatusOr<v1::Receipt> receipt;
  };
  using News = absl::AnyInvocable<void()>;
  using Event = std::variant<Answer, Report, News>;

  void OnResponse(PushCall& call, v1::PushResponse& response) override;
  void OnWritten(PushCall& call) override;
  void OnEnded(PushCall& call, const grpc::Status& status) override;

  std::shared_ptr<PushCall> MakeCall();
  // Starts a write if there is something to write and none is under way.
  void Pump();
  // Hands the events over, unless another thread does.
  void Dispatch();
  void Handle(Event& event);
  // Awaits from now on only the receipts of the call, if it is to move and all results are there.
  bool LeaveCall() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // True if the command is to be tried again.
  bool TriesAgain(const v1::CommandResult& result) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What the call owes will not come.
  void GiveUpReceipts(const PushCall& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The current call has ended, and others may still owe receipts.
  void Finish(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NextStub() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { stub_ = (stub_ + 1) % stubs_.size(); }
  void TakeResult(v1::CommandResult& result) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TakeReceipt(v1::Receipt& receipt) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void GiveUp(Outbox::Entry entry, const absl::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EndLocked(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Retry(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetAlarm();

  bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return outbox_.size() + answers_ < options_.max_unanswered &&
           outbox_.bytes() < options_.max_unanswered_bytes;
  }
  bool Quiet() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return events_.empty() && !dispatching_;
  }
  bool HasEnded() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return state_ == State::kDone && end_ && left_.empty() && Quiet();
  }
  // Of what is refused after the end.
  absl::Status EndStatus() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return end_->ok() ? absl::FailedPreconditionError("the producer is closed") : *end_;
  }

  Producer::Options options_;  // as it was, until Join
  const bool resends_;
  std::vector<std::unique_ptr<v1::PushService::Stub>> stubs_;  // until Join

  // absl's, for its conditions with a deadline; ThreadSanitizer sees nothing that links gRPC anyway.
  mutable absl::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kConnecting;
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);  // it takes no more
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  Outbox outbox_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t last_seq_ ABSL_GUARDED_BY(mutex_) = 0;  // the highest so far
  bool more_coming_ ABSL_GUARDED_BY(mutex_) = false;    // what is queued may wait for the next
  struct Awaited {
    OnReceipt on_receipt;
    const PushCall* from;
  };
  absl::btree_multimap<std::uint64_t, Awaited> receipts_ ABSL_GUARDED_BY(mutex_);

  std::vector<Event> events_ ABSL_GUARDED_BY(mutex_);
  std::size_t answers_ ABSL_GUARDED_BY(mutex_) = 0;  // among them
  bool dispatching_ ABSL_GUARDED_BY(mutex_) = false;

  std::shared_ptr<PushCall> call_ ABSL_GUARDED_BY(mutex_);
  // Half-closed, with all their results, and awaited for receipts.
  std::vector<std::shared_ptr<PushCall>> left_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> finish_ ABSL_GUARDED_BY(mutex_);  // to end with when those are gone
  int calls_ ABSL_GUARDED_BY(mutex_) = 0;                       // that have not been destroyed
  std::size_t stub_ ABSL_GUARDED_BY(mutex_) = 0;                // of the current call
  std::size_t tries_ ABSL_GUARDED_BY(mutex_) = 0;               // since there was progress
  bool moving_ ABSL_GUARDED_BY(mutex_) = false;                 // nothing more on this call
  bool moved_ ABSL_GUARDED_BY(mutex_) = false;                  // here, and not heard yet
  std::optional<std::string> unavailable_ ABSL_GUARDED_BY(mutex_);  // why a command is tried again
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool opened_ ABSL_GUARDED_BY(mutex_) = false;  // `open` has been written, where there is one
  bool half_closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool progress_ ABSL_GUARDED_BY(mutex_) = false;  // results have come on this call
  bool heard_ ABSL_GUARDED_BY(mutex_) = false;     // a server has answered, ever
  Backoff backoff_ ABSL_GUARDED_BY(mutex_);
  std::chrono::steady_clock::time_point call_since_ ABSL_GUARDED_BY(mutex_);
  std::optional<std::chrono::steady_clock::time_point> outage_since_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<grpc::Alarm> alarm_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace herald
