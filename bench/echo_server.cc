#include "bench/echo_server.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "herald/v1/push_service.pb.h"
#include "service/rpc/call_threads.h"
#include "service/rpc/stream_reactor.h"
#include "session/mutex.h"

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

class QueueReactor : public StreamReactor<EchoCall> {
 protected:
  using StreamReactor::StreamReactor;
  void StartWrite(const grpc::ByteBuffer* answer) { StreamReactor::StartWrite(*answer); }
};

// Reads and writes overlap, as Herald's do. `Reactor` is QueueReactor or gRPC's own.
template <typename Reactor>
class Echo final : public Reactor {
 public:
  template <typename... Args>
  explicit Echo(const grpc::ByteBuffer& answer, Args&&... args)
      : Reactor(std::forward<Args>(args)...), answer_(answer) {
    this->StartRead(&request_);
  }

 private:
  void OnReadDone(bool ok) override {
    MutexLock lock(mutex_);
    if (!ok) {
      ended_ = true;
      if (owed_ == 0) this->Finish(grpc::Status::OK);
      return;
    }
    request_.Clear();
    if (owed_++ == 0) this->StartWrite(&answer_);
    this->StartRead(&request_);
  }
  void OnWriteDone(bool ok) override {
    MutexLock lock(mutex_);
    if (!ok) owed_ = 1;  // the client is gone
    if (--owed_ > 0) return this->StartWrite(&answer_);
    if (ended_) this->Finish(grpc::Status::OK);
  }
  void OnCancel() override {}  // the read fails too
  void OnDone() override { delete this; }

  const grpc::ByteBuffer answer_;
  grpc::ByteBuffer request_;
  Mutex mutex_;                           // gRPC's callbacks come on any of its threads
  int owed_ ABSL_GUARDED_BY(mutex_) = 0;  // answers not written, the one under way included
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

// `PushService.Push`, of which nothing is decoded. It is served as Herald's is.
class QueueService {
 public:
  grpc::Service* methods() { return &methods_; }
  void Serve(CallQueue& queue) {
    ServeStream(methods_["Push"], queue, anyone_, *this, &QueueService::Push);
  }

 private:
  void Push(std::unique_ptr<EchoCall> call) { new Echo<QueueReactor>(answer_, std::move(call)); }

  // Calls of the other methods are never asked for.
  Methods methods_{"herald.v1.PushService"};
  struct AnyoneGate final : CallGate {
    absl::StatusOr<Caller> Admit(const grpc::ServerContext&) const override { return Caller{}; }
  };
  const AnyoneGate anyone_;
  const grpc::ByteBuffer answer_ = Answer(64);
};

class CallbackService final : public grpc::CallbackGenericService {
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override {
    return new Echo<grpc::ServerGenericBidiReactor>(answer_);
  }

  const grpc::ByteBuffer answer_ = Answer(64);
};

}  // namespace

int ServeEcho(int port, bool callbacks) {
  QueueService by_queue;
  CallbackService by_callbacks;
  std::optional<CallThreads> threads;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials());
  if (callbacks) {
    builder.RegisterCallbackGenericService(&by_callbacks);
  } else {
    builder.RegisterService(by_queue.methods());
    threads.emplace(builder, 1, absl::Seconds(10));
  }
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    std::fprintf(stderr, "grpc_echo: cannot listen\n");
    return 1;
  }
  if (threads) {
    for (const auto& queue : threads->queues()) by_queue.Serve(*queue);
    threads->Start();
  }
  server->Wait();
  return 0;
}

}  // namespace herald::bench
