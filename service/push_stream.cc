#include "service/push_stream.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "fmt/format.h"
#include "service/command_cost.h"
#include "service/convert.h"

namespace herald {
namespace {

// The rate is looked at again after this; it also bounds how long a stream outlives its call.
constexpr absl::Duration kLongestDelay = absl::Milliseconds(100);
// The memory of calls is looked at again after this: other streams of the producer may hold it.
constexpr absl::Duration kMemoryDelay = absl::Milliseconds(20);
// Results that are not handed over hold no more than this.
constexpr std::size_t kPumpedBytes = 64 * 1024;
// A command with a result of this many positions or more ends its turn.
constexpr int kManyPositions = 64;

// Of a receipt that is awaited, here and where it is counted; measured.
constexpr std::size_t kReceiptBytes = 1'300;

constexpr std::size_t kResultBytes = 160, kPositionBytes = 240;

std::size_t MemoryOf(const v1::CommandResult& result) {
  return kResultBytes + result.detail().size() +
         kPositionBytes * static_cast<std::size_t>(result.positions_size());
}

google::protobuf::ArenaOptions RequestMemory() {
  google::protobuf::ArenaOptions options;
  options.start_block_size = 4096;
  options.max_block_size = 65'536;
  return options;
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
                       Executor& executor, std::size_t max_in_flight, CallMemory& memory,
                       std::string traceparent)
    : runner_(std::move(runner)),
      shards_(shards),
      executor_(executor),
      max_in_flight_(max_in_flight),
      reader_(runner_.max_command_bytes()),
      arena_(RequestMemory()),
      hold_(memory, runner_.gate().call_bytes()) {
  context_.traceparent = std::move(traceparent);
  context_.producer = runner_.gate().name();
}

void PushStream::Detach() {
  wake_ = nullptr;
  MutexLock lock(mutex_);
  detached_ = true;
  CountHeld();
}

void PushStream::DropResults() {
  ready_ = v1::PushResponse();
  ready_bytes_ = writing_bytes_ = 0;
}

absl::Status PushStream::OnRequest(std::string wire) {
  ProducerGate& gate = runner_.gate();
  if (absl::Status gone = gate.Refresh(); !gone.ok()) return gone;
  context_.reach = gate.touches();
  context_.beyond_reach = context_.reach ? gate.beyond_reach() : nullptr;
  if (absl::Status bad = reader_.Start(std::move(wire)); !bad.ok()) return bad;
  bool ask_nodes = false;
  {
    MutexLock lock(mutex_);
    const bool alone = hold_.Alone() && hold_.bytes() == 0;
    request_bytes_ = reader_.bytes();
    CountHeld();
    if (!alone && !hold_.WithinLimits()) {
      hold_.CountLimited();
      return absl::ResourceExhaustedError(fmt::format(
          "a request of {} bytes, while requests, results and receipts of this producer hold all "
          "that they may; read results sooner, or send smaller requests",
          request_bytes_));
    }
    if (const v1::PushOpen* open = reader_.open()) {
      if (!first_) return absl::InvalidArgumentError("open may stand in the first request only");
      producer_id_ = open->producer_id();
      absl::StatusOr<std::uint64_t> last_seq = runner_.Open(producer_id_);
      if (!last_seq.ok()) return last_seq.status();
      context_.default_report = open->default_report();
      end_at_unavailable_ = open->end_at_unavailable();
      opening_ = ask_nodes = runner_.MustAskNodes();
      if (!ask_nodes) SetOpened(*last_seq);
    }
    first_ = false;
    next_command_ = commands_ = 0;
  }
  NextPart();
  {
    // From here on whoever is woken may run commands.
    MutexLock lock(mutex_);
    commands_ = reader_.commands();
    in_flight_ += static_cast<std::size_t>(commands_);
  }
  if (ask_nodes) {
    // Outside the lock: the answer may be there at once.
    runner_.AskNodes(producer_id_, [self = shared_from_this()](std::uint64_t last_seq) {
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

void PushStream::NextPart() {
  next_in_part_ = 0;
  if (reader_.HasMore()) {
    part_ = reader_.NextPart(arena_);
    if (part_ == nullptr) {
      return Stop(absl::InvalidArgumentError(fmt::format(
          "the command after {} of this request is not a herald.v1.Command", next_command_)));
    }
    runner_.gate().ChargeRead(*part_);
    return;
  }
  part_ = nullptr;
  arena_.Reset();
  reader_.Clear();
  MutexLock lock(mutex_);
  request_bytes_ = 0;
  CountHeld();
}

void PushStream::CountHeld() {
  if (detached_) DropResults();
  hold_.Set(request_bytes_ + awaited_bytes_ + ready_bytes_ + writing_bytes_ +
            receipts_ * kReceiptBytes);
}

void PushStream::SetOpened(std::uint64_t last_seq) {
  ready_.mutable_opened()->set_last_seq(last_seq);
  ready_.mutable_opened()->set_node(runner_.node());
}

bool PushStream::HasMemory() const {
  // With nothing but its request a stream goes on, or a large one would wait for ever.
  return detached_ || hold_.WithinLimits() || (hold_.Alone() && hold_.bytes() == request_bytes_);
}

void PushStream::Pump() {
  bool waits = false;
  {
    MutexLock lock(mutex_);
    if (pumping_ || next_command_ == commands_) return;
    waits = !HasMemory();
    pumping_ = !waits;
  }
  if (waits) return WaitForMemory();
  context_.now = absl::Now();
  const int first = next_command_;
  std::uint64_t cost = 0;
  bool more = false;
  while (true) {
    const auto goes_on = [&] {
      return cost < kCostATurn && pumped_bytes_ < kPumpedBytes && !ran_large_;
    };
    while (goes_on() && MayRunNext()) cost += RunNext();
    MutexLock lock(mutex_);
    // Asked again, since an answer that comes after this finds that nobody pumps, and wakes.
    more = MayRunNext();
    if (more && goes_on()) continue;
    ran_large_ = false;
    HandOver();
    waits = more && !HasMemory();
    runner_.gate().Count(static_cast<std::uint64_t>(next_command_ - first));
    pumping_ = false;
    break;
  }
  // The thread of the call goes on with other streams first.
  if (waits) {
    WaitForMemory();
  } else if (more) {
    ScheduleWake();
  }
}

bool PushStream::MayRunNext() const {
  if (next_command_ == commands_ || runner_.Holds() || opening_ || stopped_) return false;
  if (deferred_ > 0 && runner_.OrdersAcrossNodes() &&
      CommandRunner::IsChange(part_->commands(next_in_part_))) {
    return false;
  }
  return changes_ == 0 || (!runner_.OrdersAcrossNodes() &&
                           CommandRunner::MayFollowChanges(part_->commands(next_in_part_)));
}

std::uint64_t PushStream::RunNext() {
  v1::Command& command = *part_->mutable_commands(next_in_part_++);
  ++next_command_;
  const std::uint64_t cost = CommandCost(command);  // before it is moved from
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
  std::size_t awaited = 0;
  if (const int topics = command.deliver().target().topics().topics_size();
      topics >= kManyPositions) {
    ran_large_ = true;
    awaited = kPositionBytes * static_cast<std::size_t>(topics);
    MutexLock lock(mutex_);
    awaited_bytes_ += awaited;
  }
  const auto later = [&]() -> CommandRunner::Done {
    if (!change) ++deferred_;
    return [self = shared_from_this(), change, reports, awaited](v1::CommandResult result) {
      self->OnResult(change, reports, awaited, std::move(result));
    };
  };
  if (runner_.Run(command, context_, *pumped_.add_results(), later, std::move(report))) {
    const v1::CommandResult& result = *pumped_.results().rbegin();
    pumped_bytes_ += MemoryOf(result);
    StopIfUnavailable(result);
    if (change) --changes_;
    if (reports || awaited > 0) {
      MutexLock lock(mutex_);
      if (reports) --receipts_;
      awaited_bytes_ -= awaited;
    }
  } else {
    pumped_.mutable_results()->RemoveLast();
  }
  if (next_in_part_ == part_->commands_size()) NextPart();
  return cost;
}

void PushStream::StopIfUnavailable(const v1::CommandResult& result) {
  if (end_at_unavailable_ && result.code() == static_cast<int>(absl::StatusCode::kUnavailable))
    Stop(absl::UnavailableError("a command was answered UNAVAILABLE"));
}

void PushStream::Stop(absl::Status why) {
  MutexLock lock(mutex_);
  if (stopped_) return;
  stop_ = std::move(why);
  stopped_ = true;
}

std::optional<absl::Status> PushStream::Stopped() const {
  if (!stopped_) return std::nullopt;
  MutexLock lock(mutex_);
  return stop_;
}

void PushStream::HandOver() {
  ready_bytes_ += std::exchange(pumped_bytes_, 0);
  if (ready_.results().empty()) {
    ready_.mutable_results()->Swap(pumped_.mutable_results());
  } else {
    for (v1::CommandResult& result : *pumped_.mutable_results())
      ready_.add_results()->Swap(&result);
    Empty(pumped_);
  }
  CountHeld();
}

void PushStream::OnReceipt(v1::Receipt receipt) {
  {
    MutexLock lock(mutex_);
    *ready_.add_receipts() = std::move(receipt);
    if (detached_) DropResults();
  }
  ScheduleWake();
}

void PushStream::OnResult(bool change, bool reports, std::size_t awaited,
                          v1::CommandResult result) {
  bool wake;
  StopIfUnavailable(result);
  {
    MutexLock lock(mutex_);
    if (reports && !CommandRunner::ReceiptFollows(result)) --receipts_;
    awaited_bytes_ -= awaited;
    ready_bytes_ += MemoryOf(result);
    *ready_.add_results() = std::move(result);
    CountHeld();
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

void PushStream::WaitForMemory() {
  {
    MutexLock lock(mutex_);
    if (std::exchange(waiting_for_memory_, true)) return;
    hold_.CountLimited();
  }
  executor_.PostAfter(kMemoryDelay, [self = shared_from_this()] {
    {
      MutexLock lock(self->mutex_);
      self->waiting_for_memory_ = false;
    }
    self->ScheduleWake();
  });
}

bool PushStream::WantsRequest() {
  bool has_room;
  {
    MutexLock lock(mutex_);
    if (pumping_ || stopped_ || next_command_ != commands_) return false;
    if (in_flight_ >= max_in_flight_ || waiting_for_mailbox_) return false;
    if (receipts_ >= kMaxOpenReceipts) return false;
    has_room = hold_.HasRoom();
  }
  if (!has_room) {
    WaitForMemory();
    return false;
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
  writing_bytes_ = std::exchange(ready_bytes_, 0);
  return true;
}

void PushStream::OnWritten() {
  MutexLock lock(mutex_);
  in_flight_ -= std::exchange(writing_, 0);
  receipts_ -= std::exchange(writing_receipts_, 0);
  writing_bytes_ = 0;
  CountHeld();
}

bool PushStream::Idle() {
  MutexLock lock(mutex_);
  if (pumping_ || opening_) return false;
  const std::size_t never_run =
      stopped_ ? static_cast<std::size_t>(commands_ - next_command_) : std::size_t{0};
  return in_flight_ == never_run && receipts_ == 0 && !ready_.has_opened() && !ready_.has_moving();
}

}  // namespace herald
