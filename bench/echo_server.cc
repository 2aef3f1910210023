#include "bench/echo_server.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstdio>
#include <memory>
#include <string>

#include "herald/v1/push_service.grpc.pb.h"
#include "service/rpc/call_threads.h"
#include "service/rpc/stream_reactor.h"

namespace herald::bench {
namespace {

// What a request of `commands` is answered with.
grpc::ByteBuffer Answer(int commands) {
  v1::PushResponse response;
  for (int i = 0; i < commands; ++i) {
    v1::CommandResult& result = *response.add_results();
    result.set_seq(1'000'000 + static_cast<std::uint64_t>(i));
    result.set_message_id("0123456789abcdef0123456789abcdef");
  }
  const std::string bytes = response.SerializeAsString();
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

using EchoCall = BidiCall<grpc::ByteBuffer, grpc::ByteBuffer>;

// Reads and writes overlap, as Herald's do. Everything runs on the thread of the call.
class Echo final : public StreamReactor<EchoCall> {
 public:
  Echo(std::unique_ptr<EchoCall> call, const grpc::ByteBuffer& answer)
      : StreamReactor(std::move(call)), answer_(answer) {
    StartRead(&request_);
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) {
      ended_ = true;
      if (owed_ == 0) Finish(grpc::Status::OK);
      return;
    }
    request_.Clear();
    if (owed_++ == 0) StartWrite(answer_);
    StartRead(&request_);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) owed_ = 1;  // the client is gone
    if (--owed_ > 0) return StartWrite(answer_);
    if (ended_) Finish(grpc::Status::OK);
  }
  void OnCancel() override {}  // the read fails too
  void OnDone() override { delete this; }

  const grpc::ByteBuffer answer_;
  grpc::ByteBuffer request_;
  int owed_ = 0;  // answers not written, the one under way included
  bool ended_ = false;
};

// `PushService.Push`, of which nothing is decoded. It is served as Herald's is.
class EchoService {
 public:
  grpc::Service* async() { return &async_; }
  void Serve(grpc::ServerCompletionQueue& queue) {
    ServeStream(async_, *this, queue, &Async::RequestPush, &EchoService::Push);
  }

 private:
  // The other methods are asked for by nobody, and so start no threads either.
  using Async = v1::PushService::WithRawMethod_Push<v1::PushService::WithRawMethod_Send<
      v1::PushService::WithRawMethod_Broadcast<v1::PushService::Service>>>;
  void Push(std::unique_ptr<EchoCall> call) { new Echo(std::move(call), answer_); }

  Async async_;
  const grpc::ByteBuffer answer_ = Answer(64);
};

}  // namespace

int ServeEcho(int port) {
  EchoService service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials());
  builder.RegisterService(service.async());
  CallThreads threads(builder, 1);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    std::fprintf(stderr, "grpc_echo: cannot listen\n");
    return 1;
  }
  for (const auto& queue : threads.queues()) service.Serve(*queue);
  threads.Start();
  server->Wait();
  return 0;
}

}  // namespace herald::bench
