#pragma once

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>

#include <atomic>
#include <memory>
#include <utility>

#include "service/rpc/call_refusals.h"
#include "service/rpc/call_threads.h"
#include "service/status.h"

namespace herald {

// Passes a completion on to an owner that did not exist yet when the operation was started.
struct RelayedCompletion final : public Completion {
  Completion* to = nullptr;
  void Complete(bool ok) override { to->Complete(ok); }
};

// What gRPC fills while a call with a stream of requests and one of responses is awaited.
template <typename RequestType, typename ResponseType>
struct BidiCall {
  using Request = RequestType;
  using Response = ResponseType;

  grpc::ServerContext context;
  grpc::ServerAsyncReaderWriter<Response, Request> stream{&context};
  RelayedCompletion end;
  Caller caller;
  RequestDeadlines* deadlines = nullptr;  // of the queue at which the call arrived
};

// Reacts to what happens to one call that streams, as the reactors of gRPC's callbacks do. At most
// one read and one write may be under way, and Finish comes once, after which none is started.
// `Call` is a BidiCall.
//
// Threads:   reactions run on the thread of the call, never two at once, and must not block; the
//            others may be called from any thread.
// Ownership: its own. OnDone is the last reaction, and gRPC does not use the call after it.
template <typename Call>
class StreamReactor : private AwaitedRequest {
 public:
  StreamReactor(const StreamReactor&) = delete;
  StreamReactor& operator=(const StreamReactor&) = delete;

 protected:
  // On the thread of the call, once its headers are admitted.
  explicit StreamReactor(std::unique_ptr<Call> call) : call_(std::move(call)) {
    call_->end.to = &end_;
  }
  virtual ~StreamReactor() = default;

  // False: the client has half-closed, or the call has broken.
  virtual void OnReadDone(bool /*ok*/) {}
  // False: the call has broken; the client does not get the response.
  virtual void OnWriteDone(bool ok) = 0;
  // The client has cancelled or is gone. Finish has to be called all the same.
  virtual void OnCancel() = 0;
  virtual void OnDone() = 0;
  // The request of StartFirstRead was not complete in time. Finish has to be called with `status`;
  // OnReadDone follows.
  virtual void OnNoRequest(const grpc::Status& /*status*/) {}

  const Call& call() const { return *call_; }
  // `request` has to stay until OnReadDone.
  void StartRead(typename Call::Request* request) {
    Expect();
    call_->stream.Read(request, read_.tag());
  }
  // The same with a deadline, for a call that cannot do anything before its request is there. On
  // the thread of the call.
  void StartFirstRead(typename Call::Request* request) {
    call_->deadlines->Add(*this);
    StartRead(request);
  }
  // `response` is encoded at once.
  void StartWrite(const typename Call::Response& response) {
    Expect();
    call_->stream.Write(response, write_.tag());
  }
  void Finish(const grpc::Status& status) { call_->stream.Finish(status, finish_.tag()); }

 private:
  void Expect() { pending_.fetch_add(1, std::memory_order_relaxed); }
  void Release() {
    if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) OnDone();
  }
  void OnLate() final { OnNoRequest({grpc::DEADLINE_EXCEEDED, kLateRequest}); }
  void Read(bool ok) {
    call_->deadlines->Remove(*this);
    OnReadDone(ok);
    Release();
  }
  void Written(bool ok) {
    OnWriteDone(ok);
    Release();
  }
  void Finished(bool) { Release(); }
  void Ended(bool) {
    if (call_->context.IsCancelled()) OnCancel();
    Release();
  }

  const std::unique_ptr<Call> call_;
  CompletionOf<StreamReactor> read_{*this, &StreamReactor::Read};
  CompletionOf<StreamReactor> write_{*this, &StreamReactor::Written};
  CompletionOf<StreamReactor> finish_{*this, &StreamReactor::Finished};
  CompletionOf<StreamReactor> end_{*this, &StreamReactor::Ended};
  // Reads and writes under way, Finish, and the end that gRPC reports of every call.
  std::atomic<int> pending_{2};
};

// A call that is refused by its headers: sends the answer and is gone.
template <typename Call>
class RefusedStream final {
 public:
  static void Answer(std::unique_ptr<Call> call, const grpc::Status& status) {
    auto* refused = new RefusedStream(std::move(call));
    refused->call_->stream.Finish(status, refused->completion_.tag());
  }

 private:
  explicit RefusedStream(std::unique_ptr<Call> call) : call_(std::move(call)) {
    call_->end.to = &completion_;
  }
  ~RefusedStream() = default;
  void Completed(bool) {
    if (--pending_ == 0) delete this;
  }

  const std::unique_ptr<Call> call_;
  CompletionOf<RefusedStream> completion_{*this, &RefusedStream::Completed};
  int pending_ = 2;  // Finish, and the end that gRPC reports of every call
};

// A call that is awaited, admitted by its headers, and then given to its service, as `Route` says.
template <typename Route, typename Call>
class AwaitedStream final : public Completion {
 public:
  explicit AwaitedStream(const Route& route) : route_(route) { Await(); }

  void Complete(bool ok) override {
    // The server ends.
    if (!ok) {
      delete this;
      return;
    }
    std::unique_ptr<Call> call = std::move(call_);
    Await();
    absl::StatusOr<Caller> caller = route_.gate.Admit(call->context);
    if (!caller.ok()) {
      route_.queue.refusals.Add(CallRefusal::kCredentials);
      RefusedStream<Call>::Answer(std::move(call), ToGrpc(caller.status()));
      return;
    }
    call->caller = *std::move(caller);
    call->deadlines = &route_.queue.deadlines;
    (route_.service.*route_.handle)(std::move(call));
  }

 private:
  ~AwaitedStream() = default;
  void Await() {
    call_ = std::make_unique<Call>();
    call_->context.AsyncNotifyWhenDone(call_->end.tag());
    route_.method.methods->Await(route_.method.index, call_->context, call_->stream,
                                 *route_.queue.queue, tag());
  }

  const Route route_;
  std::unique_ptr<Call> call_;
};

// Has `service` handle the calls of `method` that arrive at `queue` and that `gate` admits, until
// the server ends. It makes a StreamReactor of each.
template <typename Service, typename Call>
void ServeStream(Method method, CallQueue& queue, const CallGate& gate, Service& service,
                 void (Service::*handle)(std::unique_ptr<Call>)) {
  using To = Route<Service, std::unique_ptr<Call>>;
  new AwaitedStream<To, Call>(To{method, queue, gate, service, handle});
}

}  // namespace herald
