#pragma once

#include <grpcpp/server_context.h>

#include <string>
#include <string_view>

#include "service/producer_auth.h"
#include "service/rpc/unary_call.h"
#include "service/status.h"

namespace herald {

// A metadata value of the call, empty if it is not there. gRPC keys are lower case.
inline std::string Metadata(const grpc::ServerContext& context, std::string_view key) {
  auto it = context.client_metadata().find(grpc::string_ref(key.data(), key.size()));
  return it == context.client_metadata().end() ? std::string()
                                               : std::string(it->second.data(), it->second.size());
}

// The producer that calls, by its token.
inline absl::StatusOr<std::string> ProducerOf(const grpc::ServerContext& context,
                                              const ProducerAuth& auth) {
  return auth.Check(Metadata(context, "authorization"));
}

// False: the caller may not, and has been told.
template <typename Request, typename Response>
bool Admitted(UnaryCall<Request, Response>& call, const ProducerAuth& auth) {
  const absl::Status status = ProducerOf(call.context(), auth).status();
  if (!status.ok()) call.Finish(ToGrpc(status));
  return status.ok();
}

}  // namespace herald
