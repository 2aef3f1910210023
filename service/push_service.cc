#include "service/push_service.h"

#include <optional>

#include "fmt/format.h"
#include "service/call_context.h"
#include "service/push_stream.h"
#include "service/rpc/sized_request.h"
#include "service/status.h"

namespace herald {

// One Push call. At most one read and one write are in flight, as gRPC demands; every step goes
// through Advance.
class PushReactor final : public StreamReactor<PushService::PushCall> {
 public:
  PushReactor(std::unique_ptr<PushService::PushCall> call, PushService& service,
              ProducerGate producer, const absl::Status& refused)
      : StreamReactor(std::move(call)),
        service_(service),
        name_(producer.name()),
        has_place_(refused.ok()),
        stream_(std::make_shared<PushStream>(
            IdempotentRunner(service.runner_, service.idempotency_, std::move(producer),
                             service.options_.moves),
            service.shards_, service.executor_, service.max_in_flight_, service.memory_,
            Metadata(this->call().context, "traceparent"))) {
    {
      MutexLock lock(service_.mutex_);
      service_.reactors_.insert(this);
    }
    {
      MutexLock lock(mutex_);
      if (!refused.ok()) {
        status_ = ToGrpc(refused);
        ending_ = true;
        failed_ = true;
      }
    }
    stream_->set_wake([this] { Advance(); });
    Advance();
  }

  // On the executor. Tells the producer that the stream ends in `within`.
  void Announce(absl::Duration within, const std::string& reason) {
    stream_->Announce(within, reason);
    Advance();
  }

  // On the executor. Reads no more, and ends once the results are written.
  void Drain(const std::string& reason) {
    {
      MutexLock lock(mutex_);
      if (!ending_)
        status_ = grpc::Status(grpc::UNAVAILABLE, reason + "; open the stream at another");
      ending_ = true;
    }
    Advance();
  }

  // On the executor: what its age asks for.
  void Age(absl::Time now, absl::Duration max_age, absl::Duration grace) {
    if (now < opened_at_ + max_age) return;
    if (!told_age_) {
      told_age_ = true;
      Announce(grace, kAged);
    } else if (now >= opened_at_ + max_age + grace) {
      Drain(kAged);
    }
  }

 private:
  static constexpr const char* kAged = "producers are spread anew (grpc_max_connection_age)";

  void OnReadDone(bool ok) override {
    absl::Status bad;
    if (ok) bad = stream_->OnRequest(TakeBytes(request_));
    {
      MutexLock lock(mutex_);
      reading_ = false;
      if (!ok) ending_ = true;  // the client half-closed, or is gone
      if (!bad.ok() && !failed_) {
        status_ = ToGrpc(bad);
        ending_ = true;
        failed_ = true;
      }
    }
    Advance();
  }

  void OnWriteDone(bool ok) override {
    stream_->OnWritten();
    {
      MutexLock lock(mutex_);
      writing_ = false;
      if (!ok) failed_ = ending_ = true;
    }
    Advance();
  }

  void OnCancel() override {
    {
      MutexLock lock(mutex_);
      failed_ = ending_ = true;
    }
    Advance();
  }

  void OnDone() override {
    if (has_place_) service_.places_.Release(name_);
    {
      MutexLock lock(service_.mutex_);
      service_.reactors_.erase(this);
    }
    // Wakes run on the executor, so after this one none can come.
    service_.executor_.Post([this] {
      stream_->Detach();
      delete this;
    });
  }

  void Advance() {
    for (bool started = false;; started = true) {
      bool read = false, write = false, finish = false;
      grpc::Status status;
      {
        MutexLock lock(mutex_);
        if (started) --starting_;
        if (finished_) return;
        if (!writing_ && !failed_ && stream_->TakeResponse(&response_)) writing_ = write = true;
        if (!ending_) {
          if (const std::optional<absl::Status> why = stream_->Stopped()) {
            ending_ = true;
            status_ = ToGrpc(*why);
          }
        }
        if (!reading_ && !ending_ && stream_->WantsRequest()) reading_ = read = true;
        if (read || write) {
          ++starting_;
        } else if (ending_ && !writing_ && starting_ == 0 && (failed_ || stream_->Idle())) {
          finished_ = finish = true;
          status = status_;
        }
      }
      // Outside the lock: they take tens of microseconds.
      if (write) StartWrite(response_);
      if (read) StartRead(&request_);
      if (finish) Finish(status);
      if (!read && !write) return;
    }
  }

  PushService& service_;
  const std::string name_;  // of the producer
  const bool has_place_;    // not where the call is refused
  const std::shared_ptr<PushStream> stream_;
  grpc::ByteBuffer request_;
  v1::PushResponse response_;
  const absl::Time opened_at_ = absl::Now();
  bool told_age_ = false;  // on the executor
  Mutex mutex_;
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  // Threads about to start a read or a write: after Finish the call may be gone at any time, and with
  // it what they would start it on.
  int starting_ ABSL_GUARDED_BY(mutex_) = 0;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;  // no more reads
  bool failed_ ABSL_GUARDED_BY(mutex_) = false;  // results need not be written
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::Status status_ ABSL_GUARDED_BY(mutex_);
};

namespace {

constexpr const char* kDraining = "this replica is draining";

// Runs one command for a unary call; `answer` fills the response, once the receipt is there too
// if one was asked for.
template <typename Request, typename Response>
void RunOne(CommandRunner& runner, Idempotency& idempotency, Executor& executor,
            UnaryCall<Request, Response>& call, const v1::Command& command,
            void (*answer)(Response&, v1::CommandResult, v1::Receipt)) {
  std::optional<ProducerGate> producer = Admit(call);
  if (!producer) return;
  // The rate is taken. Idempotency keys belong to the name.
  if (const absl::Status denied = producer->Check(command); !denied.ok())
    return call.Finish(ToGrpc(denied));
  producer->ChargeTargets(command);
  // Before it is carried out: its result has a position for each topic.
  constexpr std::size_t kPositionBytes = 240;
  if (!call.Reserve(kPositionBytes *
                    static_cast<std::size_t>(command.deliver().target().topics().topics_size()))) {
    return;
  }
  CommandRunner::Context run_context;
  run_context.traceparent = Metadata(call.context(), "traceparent");
  run_context.producer = producer->name();
  run_context.reach = producer->touches();
  run_context.beyond_reach = producer->beyond_reach();
  struct Run {
    Executor& executor;
    UnaryCall<Request, Response>& call;
    void (*answer)(Response&, v1::CommandResult, v1::Receipt);
    v1::CommandResult result;

    static void Finish(std::shared_ptr<Run> run, v1::Receipt receipt) {
      Executor& executor = run->executor;
      executor.Post([run = std::move(run), receipt = std::move(receipt)]() mutable {
        if (run->result.code() != 0) {
          return run->call.Finish(
              {static_cast<grpc::StatusCode>(run->result.code()), run->result.detail()});
        }
        run->answer(run->call.response(), std::move(run->result), std::move(receipt));
        run->call.Finish(grpc::Status::OK);
      });
    }
  };
  std::shared_ptr<Run> run(new Run{executor, call, answer, {}});
  const bool reports = CommandRunner::AsksReport(command, run_context);
  IdempotentRunner(runner, idempotency, producer->name())
      .Run(
          command, run_context,
          [run, reports](v1::CommandResult result) {
            run->result = std::move(result);
            if (!reports || !CommandRunner::ReceiptFollows(run->result)) Run::Finish(run, {});
          },
          [run](v1::Receipt receipt) { Run::Finish(run, std::move(receipt)); });
}

}  // namespace

void PushService::Serve(CallQueue& queue, const CallGate& gate) {
  ServeStream(methods_["Push"], queue, gate, *this, &PushService::Push);
  ServeUnary(methods_["Send"], queue, gate, *this, &PushService::Send);
  ServeUnary(methods_["Broadcast"], queue, gate, *this, &PushService::Broadcast);
}

void PushService::Push(std::unique_ptr<PushCall> call) {
  ProducerGate producer = std::move(call->caller.gate);
  absl::Status refused;
  if (moving_) refused = absl::UnavailableError("this replica is draining; use another");
  if (refused.ok()) refused = producer.CheckStream();
  if (refused.ok()) {
    refused = places_.Take(producer.name(), producer.push_streams(), max_streams_);
    if (!refused.ok()) producer.CountStreamRefused(std::string(refused.message()));
  }
  new PushReactor(std::move(call), *this, std::move(producer), refused);
}

void PushService::Send(UnaryCall<v1::SendRequest, v1::SendResponse>& call) {
  RunOne(
      runner_, idempotency_, executor_, call, call.request().command(),
      +[](v1::SendResponse& response, v1::CommandResult result, v1::Receipt receipt) {
        *response.mutable_result() = std::move(result);
        if (receipt.final()) *response.mutable_receipt() = std::move(receipt);
      });
}

void PushService::Broadcast(UnaryCall<v1::BroadcastRequest, v1::BroadcastResponse>& call) {
  v1::Command command;
  v1::Deliver& deliver = *command.mutable_deliver();
  *deliver.mutable_message() = call.request().message();
  *deliver.mutable_policy() = call.request().policy();
  if (call.request().topics().empty()) {
    deliver.mutable_target()->set_all(true);
  } else {
    *deliver.mutable_target()->mutable_topics()->mutable_topics() = call.request().topics();
  }
  RunOne(
      runner_, idempotency_, executor_, call, command,
      +[](v1::BroadcastResponse& response, v1::CommandResult result, v1::Receipt) {
        response.set_message_id(result.message_id());
        response.set_matched(result.matched());
        response.mutable_positions()->Swap(result.mutable_positions());
      });
}

void PushService::ForEach(std::function<void(PushReactor&)> action) {
  executor_.Post([this, action = std::move(action)] {
    std::vector<PushReactor*> reactors;
    {
      MutexLock lock(mutex_);
      reactors.assign(reactors_.begin(), reactors_.end());
    }
    // A reactor that ends meanwhile is deleted on this very executor, later.
    for (PushReactor* reactor : reactors) action(*reactor);
  });
}

void PushService::Announce(absl::Duration within) {
  moving_ = true;
  ForEach([within](PushReactor& reactor) { reactor.Announce(within, kDraining); });
}

void PushService::Drain() {
  moving_ = true;
  ForEach([](PushReactor& reactor) { reactor.Drain(kDraining); });
}

void PushService::Age(absl::Time now) {
  if (options_.max_age == absl::ZeroDuration() || streams() == 0) return;
  ForEach([this, now](PushReactor& reactor) {
    reactor.Age(now, options_.max_age, options_.age_grace);
  });
}

}  // namespace herald
