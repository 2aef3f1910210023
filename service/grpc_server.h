#pragma once

#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "service/admin_service.h"
#include "service/call_gates.h"
#include "service/event_service.h"
#include "service/health_service.h"
#include "service/push_service.h"
#include "service/questions.h"
#include "service/rpc/call_threads.h"
#include "service/session_service.h"

namespace herald {

struct GrpcServerOptions {
  std::string address;                      // `host:port`
  std::string tls_cert_file, tls_key_file;  // both or neither
  std::string tls_client_ca_file;  // set: clients must show a certificate of this authority (mTLS)
  bool reflection = false;
  int threads = 1;                            // on which calls arrive
  std::size_t read_bytes = 64u << 20;         // that gRPC may hold for what it reads
  std::size_t call_bytes = 16u << 20;         // that Herald may hold for calls (call_memory.h)
  std::size_t max_connections = 0;            // 0: unlimited, as with gRPC before 1.60
  std::size_t max_message_bytes = 64 * 1024;  // of one payload; requests may hold many
  PushService::Options push;
  // When a connection is told GOAWAY, give or take a tenth, so that new calls are spread anew over
  // the replicas. 0: never. Push streams follow by push.max_age, which is a little more.
  absl::Duration max_connection_age = absl::ZeroDuration();
  // From the headers of a unary call or a Watch until its request is complete.
  absl::Duration request_timeout = absl::Seconds(10);
};

// The producers' port: the four services, health (grpc.health.v1) and, if asked for, reflection.
//
// Threads:   any.
class GrpcServer {
 public:
  // Listens at once. kUnavailable with one clear line if the port is taken; kInvalidArgument for
  // key files that cannot be read.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(
      const GrpcServerOptions& options, CommandRunner& runner, Idempotency& idempotency,
      SessionTable& table, Broker& broker, EventHub& events, Executor& executor,
      const ProducerAuth& auth, Questions& questions, CallMemory& memory, AdminActions actions);
  ~GrpcServer();

  int port() const { return port_; }
  std::size_t push_streams() const { return push_.streams(); }
  // Calls refused before a service saw them.
  CallRefusals::Totals refusals() const { return call_threads_->refusals(); }
  // `read_bytes`, `call_bytes`: GrpcServerOptions.
  void SetLimits(std::size_t max_push_streams, std::size_t max_commands_in_flight,
                 std::size_t read_bytes, std::size_t call_bytes);
  // Lets Push streams age; to be called once a second.
  void Tick(absl::Time now) { push_.Age(now); }
  // The first step of an orderly end: health checks are told, every connection gets GOAWAY, so that
  // its next call goes elsewhere, and Push streams are told to move `within`. Calls under way go on.
  void BeginShutdown(absl::Duration within);
  // The second, which may be the first: streams are read no more. They end when their results and
  // receipts are written.
  void EndStreams();
  // The last: what is left after `grace` is cancelled.
  void Shutdown(absl::Duration grace);

 private:
  GrpcServer(const GrpcServerOptions& options, CommandRunner& runner, Idempotency& idempotency,
             SessionTable& table, Broker& broker, EventHub& events, Executor& executor,
             const ProducerAuth& auth, Questions& questions, CallMemory& memory,
             AdminActions actions);

  CommandRunner& runner_;
  CallMemory& memory_;
  CallMemory strangers_;
  CallLimits limits_;
  PushService push_;
  SessionService sessions_;
  EventService events_;
  AdminService admin_;
  HealthService health_;
  // Of what gRPC reads: half-sent requests of many streams. At its end gRPC closes connections, the
  // idle ones first ("Buffers full"); their producers connect anew.
  grpc::ResourceQuota quota_{"herald"};
  const ProducersOnly producers_;
  const Anyone anyone_;
  Executor& executor_;
  std::unique_ptr<CallThreads> call_threads_;
  std::unique_ptr<grpc::Server> server_;
  std::thread shutdown_;  // waits in gRPC for the calls to end
  std::atomic<bool> ended_{false};
  int port_ = 0;
};

}  // namespace herald
