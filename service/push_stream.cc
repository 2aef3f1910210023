#include "service/push_stream.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "fmt/format.h"
#include "service/convert.h"

namespace herald {
namespace {

// The rate is looked at again after this; it also bounds how long a stream outlives its call.
constexpr absl::Duration kLongestDelay = absl::Milliseconds(100);

google::protobuf::ArenaOptions RequestMemory() {
  google::protobuf::ArenaOptions options;
  options.start_block_size = 4096;
  options.max_block_size = 65'536;
  return options;
}

// A message whose parts are in `arena` too.
template <typename Message>
Message* NewMessage(google::protobuf::Arena& arena) {
#if GOOGLE_PROTOBUF_VERSION < 4000000
  return google::protobuf::Arena::CreateMessage<Message>(&arena);
#else
  return google::protobuf::Arena::Create<Message>(&arena);
#endif
}

// Results keep their memory for those that take their place, but for that of a great burst.
void Empty(v1::PushResponse& response) {
  constexpr int kReusedResults = 512;
  if (response.results_size() > kReusedResults) {
    response = v1::PushResponse();
  } else {
    response.Clear();
  }
}

}  // namespace

PushStream::PushStream(IdempotentRunner runner, std::vector<std::unique_ptr<Shard>>& shards,
                       Executor& executor, std::size_t max_in_flight, std::string traceparent)
    : runner_(std::move(runner)),
      shards_(shards),
      executor_(executor),
      max_in_flight_(max_in_flight),
      arena_(RequestMemory()) {
  context_.traceparent = std::move(traceparent);
}

v1::PushRequest* PushStream::NextRequest() {
  arena_.Reset();
#ifdef __SANITIZE_THREAD__
  // Messages in an arena crash with the distribution's protobuf, which is not instrumented.
  request_ = new v1::PushRequest;
  arena_.Own(request_);
#else
  request_ = NewMessage<v1::PushRequest>(arena_);
#endif
  return request_;
}

absl::Status PushStream::OnRequest() {
  ProducerGate& gate = runner_.gate();
  if (absl::Status gone = gate.Refresh(); !gone.ok()) return gone;
  context_.reach = gate.touches();
  context_.beyond_reach = context_.reach ? gate.beyond_reach() : nullptr;
  gate.ChargeRead(*request_);
  const int commands = request_->commands_size();
  if (commands > kMaxCommandsARequest) {
    return absl::InvalidArgumentError(fmt::format(
        "commands has {} entries, over the limit of {} a request", commands, kMaxCommandsARequest));
  }
  bool ask_nodes = false;
  {
    MutexLock lock(mutex_);
    if (request_->has_open()) {
      if (!first_) return absl::InvalidArgumentError("open may stand in the first request only");
      absl::StatusOr<std::uint64_t> last_seq = runner_.Open(request_->open().producer_id());
      if (!last_seq.ok()) return last_seq.status();
      context_.default_report = request_->open().default_report();
      end_at_unavailable_ = request_->open().end_at_unavailable();
      opening_ = ask_nodes = runner_.MustAskNodes();
      if (!ask_nodes) SetOpened(*last_seq);
    }
    first_ = false;
    in_flight_ += static_cast<std::size_t>(commands);
    commands_ = commands;
    next_command_ = 0;
  }
  if (ask_nodes) {
    // Outside the lock: the answer may be there at once.
    runner_.AskNodes(request_->open().producer_id(),
                     [self = shared_from_this()](std::uint64_t last_seq) {
                       {
                         MutexLock lock(self->mutex_);
                         self->SetOpened(last_seq);
                         self->opening_ = false;
                       }
                       self->ScheduleWake();
                     });
  }
  Pump();
  return absl::OkStatus();
}

void PushStream::SetOpened(std::uint64_t last_seq) {
  ready_.mutable_opened()->set_last_seq(last_seq);
  ready_.mutable_opened()->set_node(runner_.node());
}

void PushStream::Pump() {
  {
    MutexLock lock(mutex_);
    if (pumping_ || next_command_ == commands_) return;
    pumping_ = true;
  }
  context_.now = absl::Now();
  const int first = next_command_;
  bool more = false;
  while (true) {
    while (MayRunNext() && next_command_ - first < kCommandsATurn) RunNext();
    MutexLock lock(mutex_);
    // Asked again, since an answer that comes after this finds that nobody pumps, and wakes.
    more = MayRunNext();
    if (more && next_command_ - first < kCommandsATurn) continue;
    HandOver();
    runner_.gate().Count(static_cast<std::uint64_t>(next_command_ - first));
    pumping_ = false;
    break;
  }
  // The thread of the call goes on with other streams first.
  if (more) ScheduleWake();
}

bool PushStream::MayRunNext() const {
  if (next_command_ == commands_ || runner_.Holds() || opening_ || stopped_) return false;
  if (deferred_ > 0 && runner_.OrdersAcrossNodes() &&
      CommandRunner::IsChange(request_->commands(next_command_))) {
    return false;
  }
  return changes_ == 0 || (!runner_.OrdersAcrossNodes() &&
                           CommandRunner::MayFollowChanges(request_->commands(next_command_)));
}

void PushStream::RunNext() {
  v1::Command& command = *request_->mutable_commands(next_command_++);
  const bool change = CommandRunner::IsChange(command);
  const bool reports = CommandRunner::AsksReport(command, context_);
  if (change) ++changes_;
  CommandRunner::Report report;
  if (reports) {
    report = [self = shared_from_this()](v1::Receipt receipt) {
      self->OnReceipt(std::move(receipt));
    };
    MutexLock lock(mutex_);
    ++receipts_;
  }
  const auto later = [&]() -> CommandRunner::Done {
    if (!change) ++deferred_;
    return [self = shared_from_this(), change, reports](v1::CommandResult result) {
      self->OnResult(change, reports, std::move(result));
    };
  };
  if (!runner_.Run(command, context_, *pumped_.add_results(), later, std::move(report))) {
    pumped_.mutable_results()->RemoveLast();
    return;
  }
  StopIfUnavailable(*pumped_.results().rbegin());
  if (change) --changes_;
  if (reports) {
    MutexLock lock(mutex_);
    --receipts_;
  }
}

void PushStream::StopIfUnavailable(const v1::CommandResult& result) {
  if (end_at_unavailable_ && result.code() == static_cast<int>(absl::StatusCode::kUnavailable))
    stopped_ = true;
}

void PushStream::HandOver() {
  if (ready_.results().empty()) return ready_.mutable_results()->Swap(pumped_.mutable_results());
  for (v1::CommandResult& result : *pumped_.mutable_results()) ready_.add_results()->Swap(&result);
  Empty(pumped_);
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
  StopIfUnavailable(result);
  {
    MutexLock lock(mutex_);
    if (reports && !CommandRunner::ReceiptFollows(result)) --receipts_;
    *ready_.add_results() = std::move(result);
    --(change ? changes_ : deferred_);
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

bool PushStream::WaitsForRate() {
  const absl::Duration delay = runner_.gate().ReadDelay();
  if (delay == absl::ZeroDuration()) return false;
  {
    MutexLock lock(mutex_);
    if (std::exchange(waiting_for_rate_, true)) return true;
  }
  executor_.PostAfter(std::min(delay, kLongestDelay), [self = shared_from_this()] {
    {
      MutexLock lock(self->mutex_);
      self->waiting_for_rate_ = false;
    }
    self->ScheduleWake();
  });
  return true;
}

bool PushStream::WantsRequest() {
  {
    MutexLock lock(mutex_);
    if (pumping_ || stopped_ || next_command_ != commands_) return false;
    if (in_flight_ >= max_in_flight_ || waiting_for_mailbox_) return false;
    if (receipts_ >= kMaxOpenReceipts) return false;
  }
  if (!runner_.gate().open() && WaitsForRate()) return false;
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

void PushStream::Announce(absl::Duration within, const std::string& reason) {
  MutexLock lock(mutex_);
  v1::Moving& moving = *ready_.mutable_moving();
  SetDuration(std::max(within, absl::ZeroDuration()), moving.mutable_within());
  moving.set_reason(reason);
}

bool PushStream::TakeResponse(v1::PushResponse* response) {
  MutexLock lock(mutex_);
  if (ready_.results().empty() && ready_.receipts().empty() && !ready_.has_opened() &&
      !ready_.has_moving()) {
    return false;
  }
  Empty(*response);
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
  if (pumping_ || opening_) return false;
  const std::size_t never_run =
      stopped_ ? static_cast<std::size_t>(commands_ - next_command_) : std::size_t{0};
  return in_flight_ == never_run && receipts_ == 0 && !ready_.has_opened() && !ready_.has_moving();
}

}  // namespace herald
