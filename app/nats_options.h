#pragma once

#include "absl/status/statusor.h"
#include "app/config.h"
#include "broker/nats_connection.h"

namespace herald {

// How to reach NATS, with the password read from its file. kInvalidArgument if that cannot be read.
absl::StatusOr<NatsConnectionOptions> NatsOptionsOf(const Config& config);

}  // namespace herald
