#include "bench/echo_server.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstdio>
#include <memory>
#include <mutex>
#include <string>

#include "herald/v1/push_service.pb.h"

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

// Reads and writes overlap, as Herald's do.
class Echo final : public grpc::ServerGenericBidiReactor {
 public:
  explicit Echo(const grpc::ByteBuffer& answer) : answer_(answer) { StartRead(&request_); }

  void OnReadDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    if (!ok) {
      ended_ = true;
      if (owed_ == 0) Finish(grpc::Status::OK);
      return;
    }
    request_.Clear();
    if (owed_++ == 0) StartWrite(&answer_);
    StartRead(&request_);
  }
  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    if (!ok) owed_ = 1;  // the client is gone
    if (--owed_ > 0) return StartWrite(&answer_);
    if (ended_) Finish(grpc::Status::OK);
  }
  void OnDone() override { delete this; }

 private:
  const grpc::ByteBuffer answer_;
  grpc::ByteBuffer request_;
  std::mutex mutex_;
  int owed_ = 0;  // answers not written, the one under way included
  bool ended_ = false;
};

class EchoService final : public grpc::CallbackGenericService {
 public:
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override {
    return new Echo(answer_);
  }

 private:
  const grpc::ByteBuffer answer_ = Answer(64);
};

}  // namespace

int ServeEcho(int port) {
  EchoService service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials());
  builder.RegisterCallbackGenericService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    std::fprintf(stderr, "grpc_echo: cannot listen\n");
    return 1;
  }
  server->Wait();
  return 0;
}

}  // namespace herald::bench
