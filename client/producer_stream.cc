// What the application hands over, and what it is told.
#include "client/producer_stream.h"

#include <fmt/format.h>

#include <algorithm>

namespace herald {

absl::Status ProducerStream::Send(v1::Command&& command, OnResult on_result, OnReceipt on_receipt,
                                  Producer::More more) {
  const std::size_t bytes = command.ByteSizeLong();
  if (bytes > options_.max_command_bytes) {
    return absl::InvalidArgumentError(fmt::format("the command has {} bytes, over the limit of {}",
                                                  bytes, options_.max_command_bytes));
  }
  if (on_receipt && !Producer::AsksReport(command, options_.default_report))
    return absl::InvalidArgumentError("on_receipt is given, and no report is asked for");
  {
    absl::MutexLock lock(&mutex_);
    if (end_) return EndStatus();
    if (closing_) return absl::FailedPreconditionError("the producer is closed");
    if (!HasRoom()) {
      return absl::ResourceExhaustedError(fmt::format("{} commands of {} bytes have no result yet",
                                                      outbox_.size() + answers_, outbox_.bytes()));
    }
    if (command.seq() == 0) command.set_seq(last_seq_ + 1);
    last_seq_ = std::max(last_seq_, command.seq());
    outbox_.Add(std::move(command), bytes, std::move(on_result), std::move(on_receipt));
    more_coming_ = more == Producer::More::kYes;
  }
  Pump();
  return absl::OkStatus();
}

void ProducerStream::Kick() {
  {
    absl::MutexLock lock(&mutex_);
    more_coming_ = false;
  }
  Pump();
}

absl::Status ProducerStream::WaitForRoom(absl::Time deadline) {
  const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return end_ || HasRoom(); };
  bool full;
  {
    absl::MutexLock lock(&mutex_);
    full = !ready();
  }
  if (full) Kick();  // what waits for company would wait for ever
  absl::MutexLock lock(&mutex_);
  if (!mutex_.AwaitWithDeadline(absl::Condition(&ready), deadline))
    return absl::DeadlineExceededError("no room for another command");
  return end_ ? EndStatus() : absl::OkStatus();
}

absl::Status ProducerStream::Flush(absl::Time deadline) {
  Kick();
  absl::MutexLock lock(&mutex_);
  const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return outbox_.empty() && Quiet();
  };
  if (!mutex_.AwaitWithDeadline(absl::Condition(&ready), deadline)) {
    return absl::DeadlineExceededError(
        fmt::format("{} commands have no result yet", outbox_.size() + answers_));
  }
  return end_ ? *end_ : absl::OkStatus();
}

absl::Status ProducerStream::Close(absl::Time deadline) {
  {
    absl::MutexLock lock(&mutex_);
    closing_ = true;
    more_coming_ = false;
    // Between two streams, and nobody waits for the next.
    if (!end_ && state_ != State::kStreaming && heard_ && outbox_.empty()) Finish(absl::OkStatus());
  }
  Dispatch();
  Pump();
  {
    absl::MutexLock lock(&mutex_);
    const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return HasEnded(); };
    if (mutex_.AwaitWithDeadline(absl::Condition(&ready), deadline)) return *end_;
  }
  End(absl::DeadlineExceededError("not all commands had their results in time"));
  absl::MutexLock lock(&mutex_);
  const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return HasEnded(); };
  mutex_.Await(absl::Condition(&ready));
  return *end_;
}

void ProducerStream::End(const absl::Status& status) {
  std::vector<std::shared_ptr<PushCall>> calls;
  {
    absl::MutexLock lock(&mutex_);
    if (!end_) EndLocked(status);
    calls = left_;
    if (call_) calls.push_back(call_);
  }
  for (const auto& call : calls) call->Cancel();
  Dispatch();
}

void ProducerStream::Join() {
  // What must not go on a thread of gRPC's: that may hold the last reference to this for a moment.
  std::vector<std::unique_ptr<v1::PushService::Stub>> stubs;
  Producer::Options options;
  std::unique_ptr<grpc::Alarm> alarm;  // holds a reference to this

  absl::MutexLock lock(&mutex_);
  const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return HasEnded() && calls_ == 0;
  };
  mutex_.Await(absl::Condition(&ready));
  stubs = std::move(stubs_);
  options = std::move(options_);
  alarm = std::move(alarm_);
}

void ProducerStream::EndLocked(const absl::Status& status) {
  end_ = status;
  for (Outbox::Entry& entry : outbox_.TakeAll()) GiveUp(std::move(entry), status);
  for (auto& [seq, awaited] : receipts_) {
    events_.emplace_back(Report{std::move(awaited.on_receipt),
                                absl::UnknownError("the stream ended before the receipt")});
  }
  receipts_.clear();
  if (options_.on_end) events_.emplace_back(News([this, status] { options_.on_end(status); }));
  if (state_ == State::kWaiting) alarm_->Cancel();
}

void ProducerStream::GiveUp(Outbox::Entry entry, const absl::Status& status) {
  ++answers_;
  events_.emplace_back(Answer{std::move(entry.on_result), status});
  if (entry.on_receipt) events_.emplace_back(Report{std::move(entry.on_receipt), status});
}

void ProducerStream::TakeResult(v1::CommandResult& result) {
  if (TriesAgain(result)) {
    // It keeps its place, and nothing that is not on its way yet overtakes it.
    if (!unavailable_) unavailable_ = result.detail();
    return;
  }
  progress_ = true;
  std::optional<Outbox::Entry> entry = outbox_.TakeAnswered(result.seq());
  if (!entry) return;
  const std::uint64_t seq = entry->seq;
  absl::StatusOr<v1::Receipt> none = absl::UnknownError("");
  if (result.code() != 0) {
    none = absl::Status(static_cast<absl::StatusCode>(result.code()), result.detail());
  } else if (result.duplicate()) {
    none = absl::UnknownError("the command had been taken before; its receipt went there");
  }
  const bool follows = result.code() == 0 && !result.duplicate();
  ++answers_;
  events_.emplace_back(Answer{std::move(entry->on_result), std::move(result)});
  if (!entry->on_receipt) return;
  if (entry->receipt) {
    events_.emplace_back(Report{std::move(entry->on_receipt), *std::move(entry->receipt)});
  } else if (follows) {
    receipts_.emplace(seq, Awaited{std::move(entry->on_receipt), call_.get()});
  } else {
    events_.emplace_back(Report{std::move(entry->on_receipt), std::move(none)});
  }
}

void ProducerStream::TakeReceipt(v1::Receipt& receipt) {
  if (!receipt.final()) return;
  const auto awaited = receipts_.find(receipt.seq());
  if (awaited == receipts_.end()) {
    outbox_.KeepReceipt(receipt);
    return;
  }
  events_.emplace_back(Report{std::move(awaited->second.on_receipt), std::move(receipt)});
  receipts_.erase(awaited);
}

void ProducerStream::Dispatch() {
  mutex_.Lock();
  if (!dispatching_) {
    dispatching_ = true;
    while (!events_.empty()) {
      std::vector<Event> events = std::exchange(events_, {});
      answers_ = 0;
      mutex_.Unlock();
      for (Event& event : events) Handle(event);
      events.clear();
      mutex_.Lock();
    }
    dispatching_ = false;
  }
  mutex_.Unlock();
}

void ProducerStream::Handle(Event& event) {
  if (auto* answer = std::get_if<Answer>(&event)) {
    if (answer->on_result) answer->on_result(std::move(answer->result));
  } else if (auto* report = std::get_if<Report>(&event)) {
    report->on_receipt(std::move(report->receipt));
  } else {
    std::get<News>(event)();
  }
}

}  // namespace herald
