#pragma once

#include <grpcpp/support/server_interceptor.h>

#include "service/producer_auth.h"

namespace herald {

// Ends calls of server reflection, which gRPC answers itself, by callers that are no producer: they get
// CANCELLED. Other methods are not intercepted.
//
// Threads: any, as ProducerAuth, which outlives the server.
class ReflectionGate final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit ReflectionGate(const ProducerAuth& auth) : auth_(auth) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override;

 private:
  const ProducerAuth& auth_;
};

}  // namespace herald
