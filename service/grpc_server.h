#pragma once

#include <grpcpp/server.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "service/admin_service.h"
#include "service/event_service.h"
#include "service/push_service.h"
#include "service/session_service.h"

namespace herald {

struct GrpcServerOptions {
  std::string address;                      // `host:port`
  std::string tls_cert_file, tls_key_file;  // both or neither
  std::string tls_client_ca_file;  // set: clients must show a certificate of this authority (mTLS)
  bool reflection = false;
  std::size_t max_message_bytes = 64 * 1024;  // of one payload; requests may hold many
  PushService::Options push;
};

// The producers' port: the four services, health (grpc.health.v1) and, if asked for, reflection.
//
// Threads:   any; the reactors run on gRPC's own.
class GrpcServer {
 public:
  // Listens at once. kUnavailable with one clear line if the port is taken; kInvalidArgument for
  // key files that cannot be read.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(
      const GrpcServerOptions& options, CommandRunner& runner, Idempotency& idempotency,
      SessionTable& table, Broker& broker, EventHub& events, Executor& executor,
      const ProducerAuth& auth, const NodeStats& stats);
  ~GrpcServer();

  int port() const { return port_; }
  std::size_t push_streams() const { return push_.streams(); }
  // Tells health checks, ends open streams once their results are written, then all calls; what is
  // left after `grace` is cancelled.
  void Shutdown(absl::Duration grace);

 private:
  GrpcServer(const GrpcServerOptions& options, CommandRunner& runner, Idempotency& idempotency,
             SessionTable& table, Broker& broker, EventHub& events, Executor& executor,
             const ProducerAuth& auth, const NodeStats& stats);

  PushService push_;
  SessionService sessions_;
  EventService events_;
  AdminService admin_;
  Executor& executor_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace herald
