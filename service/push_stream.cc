#include "service/push_stream.h"

#include "fmt/format.h"

namespace herald {

PushStream::PushStream(IdempotentRunner runner, std::vector<std::unique_ptr<Shard>>& shards,
                       Executor& executor, std::size_t max_in_flight, std::string traceparent)
    : runner_(std::move(runner)),
      shards_(shards),
      executor_(executor),
      max_in_flight_(max_in_flight) {
  context_.traceparent = std::move(traceparent);
}

absl::Status PushStream::OnRequest(v1::PushRequest request) {
  if (request.commands_size() > kMaxCommandsARequest) {
    return absl::InvalidArgumentError(
        fmt::format("commands has {} entries, over the limit of {} a request",
                    request.commands_size(), kMaxCommandsARequest));
  }
  {
    MutexLock lock(mutex_);
    if (request.has_open()) {
      if (!first_) return absl::InvalidArgumentError("open may stand in the first request only");
      absl::StatusOr<std::uint64_t> last_seq = runner_.Open(request.open().producer_id());
      if (!last_seq.ok()) return last_seq.status();
      ready_.mutable_opened()->set_last_seq(*last_seq);
      context_.default_report = request.open().default_report();
      ready_.mutable_opened()->set_node(runner_.node());
    }
    first_ = false;
    in_flight_ += static_cast<std::size_t>(request.commands_size());
    request_ = std::move(request);
    next_command_ = 0;
  }
  Pump();
  return absl::OkStatus();
}

void PushStream::Pump() {
  const v1::PushRequest* request;
  {
    MutexLock lock(mutex_);
    if (pumping_) return;
    pumping_ = true;
    request = &request_;  // stays as it is until all its commands have run
  }
  while (true) {
    const v1::Command* command;
    bool change, reports;
    {
      MutexLock lock(mutex_);
      const bool done = next_command_ == request->commands_size();
      if (!done) {
        command = &request->commands(next_command_);
        change = CommandRunner::IsChange(*command);
      }
      if (done || runner_.Holds() || (changes_ > 0 && !CommandRunner::MayFollowChanges(*command))) {
        pumping_ = false;
        return;
      }
      ++next_command_;
      if (change) ++changes_;
      reports = CommandRunner::AsksReport(*command, context_);
      if (reports) ++receipts_;
    }
    CommandRunner::Report report;
    if (reports) {
      report = [self = shared_from_this()](v1::Receipt receipt) {
        self->OnReceipt(std::move(receipt));
      };
    }
    runner_.Run(
        *command, context_,
        [self = shared_from_this(), change, reports](v1::CommandResult result) {
          self->OnResult(change, reports, std::move(result));
        },
        std::move(report));
  }
}

void PushStream::OnReceipt(v1::Receipt receipt) {
  {
    MutexLock lock(mutex_);
    *ready_.add_receipts() = std::move(receipt);
  }
  ScheduleWake();
}

void PushStream::OnResult(bool change, bool reports, v1::CommandResult result) {
  bool wake;
  {
    MutexLock lock(mutex_);
    if (reports && !CommandRunner::ReceiptFollows(result)) --receipts_;
    *ready_.add_results() = std::move(result);
    if (change) --changes_;
    // Results that come while the pump runs are taken when it returns.
    wake = !pumping_;
  }
  if (wake) ScheduleWake();
}

void PushStream::ScheduleWake() {
  {
    MutexLock lock(mutex_);
    if (wake_scheduled_) return;
    wake_scheduled_ = true;
  }
  executor_.Post([self = shared_from_this()] {
    {
      MutexLock lock(self->mutex_);
      self->wake_scheduled_ = false;
    }
    self->Pump();
    if (self->wake_) self->wake_();
  });
}

bool PushStream::WantsRequest() {
  {
    MutexLock lock(mutex_);
    if (next_command_ != request_.commands_size() || pumping_) return false;
    if (in_flight_ >= max_in_flight_ || waiting_for_mailbox_) return false;
    if (receipts_ >= kMaxOpenReceipts) return false;
  }
  for (const auto& shard : shards_) {
    if (!shard->AboveHighWatermark()) continue;
    {
      MutexLock lock(mutex_);
      waiting_for_mailbox_ = true;
    }
    const bool waits = shard->NotifyWhenLow([self = shared_from_this()] {
      {
        MutexLock lock(self->mutex_);
        self->waiting_for_mailbox_ = false;
      }
      self->ScheduleWake();
    });
    if (waits) return false;
    MutexLock lock(mutex_);
    waiting_for_mailbox_ = false;
  }
  return true;
}

bool PushStream::TakeResponse(v1::PushResponse* response) {
  MutexLock lock(mutex_);
  if (ready_.results().empty() && ready_.receipts().empty() && !ready_.has_opened()) return false;
  response->Clear();
  response->Swap(&ready_);
  writing_ = static_cast<std::size_t>(response->results_size());
  writing_receipts_ = static_cast<std::size_t>(response->receipts_size());
  return true;
}

void PushStream::OnWritten() {
  MutexLock lock(mutex_);
  in_flight_ -= std::exchange(writing_, 0);
  receipts_ -= std::exchange(writing_receipts_, 0);
}

bool PushStream::Idle() {
  MutexLock lock(mutex_);
  return in_flight_ == 0 && receipts_ == 0 && !ready_.has_opened();
}

}  // namespace herald
