#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/async_unary_call.h>

#include "service/rpc/call_threads.h"

namespace herald {

// A call with one request and one response, from its arrival to its end.
//
// Threads:   handlers are called on the thread of the call and must not block; Finish from any.
// Ownership: its own. It is gone at any time after Finish.
template <typename Request, typename Response>
class UnaryCall : protected Completion {
 public:
  UnaryCall(const UnaryCall&) = delete;
  UnaryCall& operator=(const UnaryCall&) = delete;

  const grpc::ServerContext& context() const { return context_; }
  const Request& request() const { return request_; }
  Response& response() { return response_; }
  // To be called once. An error is sent without the response.
  void Finish(const grpc::Status& status) { responder_.Finish(response_, status, tag()); }

 protected:
  UnaryCall() = default;
  ~UnaryCall() = default;

  grpc::ServerContext context_;
  Request request_;
  Response response_;
  grpc::ServerAsyncResponseWriter<Response> responder_{&context_};
};

// A call that is awaited, and then handled, as `Method` (an AwaitedMethod) says.
template <typename Method, typename Request, typename Response>
class AwaitedUnaryCall final : public UnaryCall<Request, Response> {
 public:
  static void Await(const Method& method) {
    auto* call = new AwaitedUnaryCall(method);
    (method.async.*method.ask)(&call->context_, &call->request_, &call->responder_, &method.queue,
                               &method.queue, call->tag());
  }

  void Complete(bool ok) override {
    // It has been answered, or it is the server that ends.
    if (arrived_ || !ok) {
      delete this;
      return;
    }
    arrived_ = true;
    Await(method_);
    (method_.service.*method_.handle)(*this);
  }

 private:
  explicit AwaitedUnaryCall(const Method& method) : method_(method) {}
  ~AwaitedUnaryCall() = default;

  const Method method_;
  bool arrived_ = false;
};

// Has `service` handle the calls of one method that arrive at `queue`, until the server ends.
template <typename Async, typename Service, typename Ask, typename Request, typename Response>
void ServeUnary(Async& async, Service& service, grpc::ServerCompletionQueue& queue, Ask ask,
                void (Service::*handle)(UnaryCall<Request, Response>&)) {
  const AwaitedMethod method{async, service, queue, ask, handle};
  AwaitedUnaryCall<decltype(method), Request, Response>::Await(method);
}

}  // namespace herald
