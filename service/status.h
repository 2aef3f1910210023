#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace herald {

// The one place where our codes become gRPC's: the canonical codes are the same numbers.
inline grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return {static_cast<grpc::StatusCode>(status.code()), std::string(status.message())};
}

}  // namespace herald
