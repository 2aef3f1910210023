// Which call the stream is on: made, written to, left for the next, tried again.
#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "client/producer_stream.h"

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

}  // namespace herald
