#include "client/producer_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace herald {
namespace {

using SteadyClock = std::chrono::steady_clock;

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

// Trying again would not help.
bool IsPermanent(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::UNIMPLEMENTED:
      return true;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      // gRPC's words for a message over the limit; else it means too many streams.
      return status.error_message().find("larger than max") != std::string::npos;
    default:
      return false;
  }
}

}  // namespace

std::shared_ptr<PushCall> ProducerStream::MakeCall() {
  v1::PushService::Stub* stub;
  {
    absl::MutexLock lock(&mutex_);
    ++calls_;
    stub = stubs_[stub_].get();
  }
  return {new PushCall(*stub, *this, options_.token),
          [self = shared_from_this()](const PushCall* call) {
            delete call;
            absl::MutexLock lock(&self->mutex_);
            --self->calls_;
          }};
}

void ProducerStream::Connect() {
  const std::shared_ptr<PushCall> call = MakeCall();
  bool cancelled = false;
  {
    absl::MutexLock lock(&mutex_);
    state_ = State::kStreaming;
    call_ = call;
    call_since_ = SteadyClock::now();
    writing_ = half_closed_ = progress_ = moving_ = false;
    unavailable_.reset();
    opened_ = !resends_ && options_.default_report == v1::REPORT_LEVEL_UNSPECIFIED;
    cancelled = end_.has_value();
    const auto forgotten = call_since_ - absl::ToChronoNanoseconds(options_.resend_within);
    for (Outbox::Entry& entry : outbox_.TakeWrittenBefore(forgotten)) {
      GiveUp(std::move(entry),
             absl::UnknownError(fmt::format(
                 "no result within {}, and a repeat after that would not be safe: it may have been "
                 "carried out",
                 absl::FormatDuration(options_.resend_within))));
    }
  }
  call->Start();
  if (cancelled) call->Cancel();
  Pump();
  Dispatch();
}

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

void ProducerStream::OnResponse(PushCall& call, v1::PushResponse& response) {
  bool leave = false;
  {
    absl::MutexLock lock(&mutex_);
    if (end_) return;
    if (&call == call_.get()) {
      heard_ = true;
      moved_ = false;
      outage_since_.reset();
      if (response.has_opened() && options_.on_opened) {
        events_.emplace_back(
            News([this, opened = response.opened()] { options_.on_opened(opened); }));
      }
      for (v1::CommandResult& result : *response.mutable_results()) TakeResult(result);
      moving_ = moving_ || (response.has_moving() && !closing_);
    }
    for (v1::Receipt& receipt : *response.mutable_receipts()) TakeReceipt(receipt);
  }
  Pump();
  {
    absl::MutexLock lock(&mutex_);
    leave = &call == call_.get() && LeaveCall();
  }
  if (leave) Connect();
  Dispatch();
}

bool ProducerStream::LeaveCall() {
  if (!moving_ || !half_closed_ || unavailable_ || end_ || outbox_.written() > 0) return false;
  if (closing_ && outbox_.empty()) return false;  // it is the last
  left_.push_back(std::move(call_));
  call_ = nullptr;
  state_ = State::kConnecting;
  moved_ = true;
  tries_ = 0;
  NextStub();
  return true;
}

bool ProducerStream::TriesAgain(const v1::CommandResult& result) {
  if (!resends_ || result.code() != static_cast<int>(absl::StatusCode::kUnavailable)) return false;
  const Outbox::Entry* const entry = outbox_.Find(result.seq());
  return entry != nullptr && entry->first_written &&
         SteadyClock::now() - *entry->first_written <
             absl::ToChronoNanoseconds(options_.retry_unavailable_for);
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

void ProducerStream::OnWritten(PushCall& call) {
  bool leave;
  {
    absl::MutexLock lock(&mutex_);
    if (&call != call_.get()) return;
    writing_ = false;
  }
  Pump();
  {
    absl::MutexLock lock(&mutex_);
    leave = &call == call_.get() && LeaveCall();
  }
  if (leave) Connect();
}

void ProducerStream::GiveUpReceipts(const PushCall& call) {
  absl::erase_if(receipts_, [&](auto& awaited) {
    if (awaited.second.from != &call) return false;
    events_.emplace_back(Report{std::move(awaited.second.on_receipt),
                                absl::UnknownError("the stream broke before the receipt")});
    return true;
  });
}

void ProducerStream::Finish(const absl::Status& status) {
  if (left_.empty()) return EndLocked(status);
  finish_ = status;
}

void ProducerStream::OnEnded(PushCall& call, const grpc::Status& grpc_status) {
  bool reconnect = false;
  {
    absl::MutexLock lock(&mutex_);
    GiveUpReceipts(call);
    if (&call != call_.get()) {
      std::erase_if(left_, [&](const auto& left) { return left.get() == &call; });
      if (!end_ && finish_ && left_.empty() && state_ == State::kDone) EndLocked(*finish_);
    } else {
      call_ = nullptr;
      state_ = State::kDone;
      const bool all_answered = closing_ && outbox_.empty();
      const bool went = moving_ && !unavailable_ && outbox_.written() == 0;
      absl::Status status = FromGrpc(grpc_status);
      if (unavailable_) {
        status = absl::UnavailableError(*unavailable_);
      } else if (status.ok() && !all_answered) {
        status = absl::UnavailableError("the server ended the stream");
      }
      if (end_) {
        // Cancelled.
      } else if (IsPermanent(grpc_status)) {
        EndLocked(status);
      } else if (all_answered) {
        Finish(heard_ ? absl::OkStatus() : status);
      } else if (went) {
        state_ = State::kConnecting;
        moved_ = reconnect = true;
        tries_ = 0;
        NextStub();
      } else if (!resends_ && !(moved_ && outbox_.written() == 0)) {
        EndLocked(status);
      } else {
        Retry(status);
      }
    }
  }
  if (reconnect) Connect();
  Dispatch();
}

void ProducerStream::Retry(const absl::Status& status) {
  state_ = State::kConnecting;
  outbox_.Rewind();
  more_coming_ = false;
  const auto now = SteadyClock::now();
  if (progress_ || absl::FromChrono(now - call_since_) >= options_.max_backoff) {
    backoff_.Reset();
    tries_ = 0;
  }
  ++tries_;
  NextStub();
  if (!outage_since_) outage_since_ = now;
  Producer::Outage outage{.status = status,
                          .attempt = static_cast<int>(tries_),
                          .lasting = absl::FromChrono(now - *outage_since_),
                          .connected_before = heard_};
  // Asked after the callbacks of what came before.
  events_.emplace_back(News([this, outage = std::move(outage)] {
    if (options_.on_broken && !options_.on_broken(outage)) End(outage.status);
    SetAlarm();
  }));
}

void ProducerStream::SetAlarm() {
  absl::MutexLock lock(&mutex_);
  if (end_) {
    state_ = State::kDone;
    return;
  }
  state_ = State::kWaiting;
  alarm_ = std::make_unique<grpc::Alarm>();
  // Each of the others is asked at once, before it waits.
  const bool untried = tries_ < stubs_.size() && !unavailable_;
  const absl::Duration wait = untried ? absl::ZeroDuration() : backoff_.Next();
  const auto at =
      std::chrono::system_clock::now() + absl::ToChronoMicroseconds(wait + absl::Milliseconds(1));
  alarm_->Set(at, [self = shared_from_this()](bool) {
    {
      absl::MutexLock alarm_lock(&self->mutex_);
      self->state_ = self->end_ ? State::kDone : State::kConnecting;
      if (self->end_) return;
    }
    self->Connect();
  });
}

void ProducerStream::Pump() {
  std::shared_ptr<PushCall> call;
  bool half_close = false;
  {
    absl::MutexLock lock(&mutex_);
    if (!call_ || writing_ || half_closed_ || end_) return;
    const bool no_more = moving_ || unavailable_;
    const bool waits = more_coming_ && outbox_.unwritten() < options_.max_batch &&
                       outbox_.unwritten_bytes() < options_.max_batch_bytes;
    v1::PushRequest& request = call_->request();
    request.Clear();
    const bool filled =
        !waits && !no_more &&
        outbox_.Fill(options_.max_batch, options_.max_batch_bytes, SteadyClock::now(), &request);
    if (!opened_) {
      opened_ = true;
      request.mutable_open()->set_producer_id(options_.producer_id);
      request.mutable_open()->set_default_report(options_.default_report);
      request.mutable_open()->set_end_at_unavailable(resends_ && options_.retry_unavailable_for >
                                                                     absl::ZeroDuration());
    } else if (!filled) {
      if (!closing_ && !no_more) return;
      half_close = half_closed_ = true;
    }
    writing_ = true;
    call = call_;
  }
  if (half_close) {
    call->HalfClose();
  } else {
    call->Write();
  }
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
