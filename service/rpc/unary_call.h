#pragma once

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>

#include <optional>
#include <utility>

#include "service/rpc/call_refusals.h"
#include "service/rpc/call_threads.h"
#include "service/rpc/sized_request.h"
#include "service/status.h"

namespace herald {

// A call with one request and one response, from the arrival of its request to its end.
//
// Threads:   handlers are called on the thread of the call and must not block; Finish from any.
// Ownership: its own. It is gone at any time after Finish.
template <typename Request, typename Response>
class UnaryCall {
 public:
  UnaryCall(const UnaryCall&) = delete;
  UnaryCall& operator=(const UnaryCall&) = delete;

  const grpc::ServerContext& context() const { return context_; }
  const Caller& caller() const { return caller_; }
  // For the handler, once.
  Caller TakeCaller() { return std::move(caller_); }
  // Until the handler returns.
  const Request& request() const { return request_.message; }
  std::size_t request_bytes() const { return request_.bytes; }
  Response& response() { return response_; }
  // Counts what the response will take. False: calls hold all the memory that they may, and the call
  // has been answered.
  bool Reserve(std::size_t bytes) {
    if (answer_->TrySet(bytes)) return true;
    queue_.refusals.Add(CallRefusal::kMemory);
    Finish({grpc::RESOURCE_EXHAUSTED, kNoMemory});
    return false;
  }
  // To be called once. An error is sent without the response.
  void Finish(const grpc::Status& status) {
    if (!status.ok()) return stream_.Finish(status, finished_.tag());
    // gRPC keeps the encoded bytes until the caller has read them.
    Response response;
    response.Swap(&response_);
    answer_->Set(response.ByteSizeLong());
    stream_.WriteAndFinish(response, grpc::WriteOptions(), status, finished_.tag());
  }

 protected:
  explicit UnaryCall(CallQueue& queue) : queue_(queue) {}
  ~UnaryCall() = default;
  // The answer is sent, or the call has broken.
  virtual void OnFinished() = 0;

  CallQueue& queue_;
  grpc::ServerContext context_;
  Caller caller_;
  SizedRequest<Request> request_;
  Response response_;
  std::optional<CallMemory::Hold> answer_;  // once the call is admitted
  grpc::ServerAsyncReaderWriter<Response, SizedRequest<Request>> stream_{&context_};

 private:
  void Finished(bool /*ok*/) { OnFinished(); }

  CompletionOf<UnaryCall> finished_{*this, &UnaryCall::Finished};
};

// A call that is awaited, admitted by its headers, read, and then handled, as `Route` says.
template <typename Route, typename Request, typename Response>
class AwaitedUnaryCall final : public UnaryCall<Request, Response>, private AwaitedRequest {
 public:
  static void Await(const Route& route) {
    auto* call = new AwaitedUnaryCall(route);
    route.method.methods->Await(route.method.index, call->context_, call->stream_,
                                *route.queue.queue, call->arrived_.tag());
  }

 private:
  // Of a call that is open: gRPC's part and ours.
  static constexpr std::size_t kOpenBytes = 12 * 1024;

  explicit AwaitedUnaryCall(const Route& route)
      : UnaryCall<Request, Response>(route.queue), route_(route) {}
  ~AwaitedUnaryCall() = default;

  void Arrived(bool ok) {
    // The server ends.
    if (!ok) {
      delete this;
      return;
    }
    Await(route_);
    absl::StatusOr<Caller> caller = route_.gate.Admit(this->context_);
    if (!caller.ok()) return Refuse(CallRefusal::kCredentials, ToGrpc(caller.status()));
    this->caller_ = *std::move(caller);
    const CallLimits& limits = route_.queue.limits;
    CallMemory& memory = this->caller_.stranger ? limits.strangers : limits.memory;
    const CallMemory::Share share = this->caller_.gate.call_bytes();
    open_.emplace(memory, share);
    this->answer_.emplace(memory, share);
    if (!open_->TrySet(kOpenBytes))
      return Refuse(CallRefusal::kMemory, {grpc::RESOURCE_EXHAUSTED, kNoMemory});
    if (this->caller_.stranger) return (route_.service.*route_.handle)(*this);
    route_.queue.deadlines.Add(*this);
    reading_ = true;
    this->request_.max_bytes = limits.max_request_bytes;
    this->stream_.Read(&this->request_, read_.tag());
  }

  void Read(bool ok) {
    reading_ = false;
    if (late_) {
      if (answered_) delete this;
      return;
    }
    route_.queue.deadlines.Remove(*this);
    if (!ok) return Refuse(CallRefusal::kNoRequest, {grpc::INVALID_ARGUMENT, kNoRequest});
    if (this->request_.too_long()) {
      return Refuse(
          CallRefusal::kLongRequest,
          {grpc::INVALID_ARGUMENT, LongRequest(this->request_.bytes, this->request_.max_bytes)});
    }
    (route_.service.*route_.handle)(*this);
    // On this thread, so the call is still there, whatever has become of it.
    this->request_ = {};
  }

  void Refuse(CallRefusal reason, const grpc::Status& status) {
    route_.queue.refusals.Add(reason);
    this->Finish(status);
  }

  void OnLate() override {
    late_ = true;
    this->Finish({grpc::DEADLINE_EXCEEDED, kLateRequest});
  }

  void OnFinished() override {
    answered_ = true;
    if (!reading_) delete this;
  }

  CompletionOf<AwaitedUnaryCall> arrived_{*this, &AwaitedUnaryCall::Arrived};
  CompletionOf<AwaitedUnaryCall> read_{*this, &AwaitedUnaryCall::Read};
  const Route route_;
  std::optional<CallMemory::Hold> open_;  // once the call is admitted
  bool reading_ = false;                  // gRPC still holds `request_`
  bool late_ = false;                     // the deadline has passed, the answer is under way
  bool answered_ = false;                 // the answer is sent
};

// Has `service` handle the calls of `method` that arrive at `queue` and that `gate` admits, until
// the server ends.
template <typename Service, typename Request, typename Response>
void ServeUnary(Method method, CallQueue& queue, const CallGate& gate, Service& service,
                void (Service::*handle)(UnaryCall<Request, Response>&)) {
  using To = Route<Service, UnaryCall<Request, Response>&>;
  AwaitedUnaryCall<To, Request, Response>::Await(To{method, queue, gate, service, handle});
}

}  // namespace herald
