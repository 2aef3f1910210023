#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace herald {

// The one place where our codes become gRPC's: the canonical codes are the same numbers. Payloads
// become the details of a google.rpc.Status, in `grpc-status-details-bin`.
grpc::Status ToGrpc(const absl::Status& status);

}  // namespace herald
