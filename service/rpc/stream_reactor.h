#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>

#include <atomic>
#include <memory>
#include <utility>

#include "service/rpc/call_threads.h"

namespace herald {

// Gives what comes back to somebody who was not there yet when it was asked for.
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

  template <typename Async, typename Ask>
  void Await(Async& async, Ask ask, grpc::ServerCompletionQueue& queue, void* tag) {
    (async.*ask)(&context, &stream, &queue, &queue, tag);
  }
};

// The same with one request, which is there when the call is.
template <typename RequestType, typename ResponseType>
struct WatchCall {
  using Request = RequestType;
  using Response = ResponseType;

  grpc::ServerContext context;
  Request request;
  grpc::ServerAsyncWriter<Response> stream{&context};
  RelayedCompletion end;

  template <typename Async, typename Ask>
  void Await(Async& async, Ask ask, grpc::ServerCompletionQueue& queue, void* tag) {
    (async.*ask)(&context, &request, &stream, &queue, &queue, tag);
  }
};

// Reacts to what happens to one call that streams, as the reactors of gRPC's callbacks do. At most
// one read and one write may be under way, and Finish comes once, after which none is started.
// `Call` is BidiCall or WatchCall.
//
// Threads:   reactions run on the thread of the call, never two at once, and must not block; the
//            others may be called from any.
// Ownership: its own. After OnDone nothing comes, and gRPC needs it no more.
template <typename Call>
class StreamReactor {
 public:
  StreamReactor(const StreamReactor&) = delete;
  StreamReactor& operator=(const StreamReactor&) = delete;

 protected:
  // On the thread of the call, once it is there.
  explicit StreamReactor(std::unique_ptr<Call> call) : call_(std::move(call)) {
    call_->end.to = &end_;
  }
  virtual ~StreamReactor() = default;

  // False: the client has half-closed, or the call has broken.
  virtual void OnReadDone(bool /*ok*/) {}
  // False: the call has broken, nobody gets it.
  virtual void OnWriteDone(bool ok) = 0;
  // The client has given up or is gone. Finish has to be called none the less.
  virtual void OnCancel() = 0;
  virtual void OnDone() = 0;

  const Call& call() const { return *call_; }
  // `request` has to stay until OnReadDone.
  void StartRead(typename Call::Request* request) {
    Expect();
    call_->stream.Read(request, read_.tag());
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
  void Read(bool ok) {
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
  // Reads and writes under way, Finish, and the end that gRPC tells of every call.
  std::atomic<int> pending_{2};
};

// A call that is awaited, and then given away, as `Method` (an AwaitedMethod) says.
template <typename Method, typename Call>
class AwaitedStream final : public Completion {
 public:
  explicit AwaitedStream(const Method& method) : method_(method) { Await(); }

  void Complete(bool ok) override {
    // The server ends.
    if (!ok) {
      delete this;
      return;
    }
    std::unique_ptr<Call> call = std::move(call_);
    Await();
    (method_.service.*method_.handle)(std::move(call));
  }

 private:
  ~AwaitedStream() = default;
  void Await() {
    call_ = std::make_unique<Call>();
    call_->context.AsyncNotifyWhenDone(call_->end.tag());
    call_->Await(method_.async, method_.ask, method_.queue, tag());
  }

  const Method method_;
  std::unique_ptr<Call> call_;
};

// Has `service` handle the calls of one method that arrive at `queue`, until the server ends. It
// makes a StreamReactor of each.
template <typename Async, typename Service, typename Ask, typename Call>
void ServeStream(Async& async, Service& service, grpc::ServerCompletionQueue& queue, Ask ask,
                 void (Service::*handle)(std::unique_ptr<Call>)) {
  const AwaitedMethod method{async, service, queue, ask, handle};
  new AwaitedStream<decltype(method), Call>(method);
}

}  // namespace herald
