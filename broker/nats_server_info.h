#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace herald {

// What a NATS server says of itself to whoever connects (its INFO line), before TLS and authentication.
//
// Source: docs.nats.io/reference/reference-protocols/nats-protocol, "INFO". libnats 3.4 has no call
//         for the version.
struct NatsServerInfo {
  std::string version;  // such as 2.12.3
  bool clustered = false;
};

// Connects to `host:port`, reads the line and closes. Blocks for at most `timeout`, and for as long as
// the name takes to resolve. kUnavailable if no such line comes.
absl::StatusOr<NatsServerInfo> AskNatsServer(std::string_view host_and_port,
                                             absl::Duration timeout);
absl::StatusOr<NatsServerInfo> ParseNatsInfo(std::string_view line);

// True if `version` is a version before `major.minor`.
bool OlderThan(std::string_view version, int major, int minor);

}  // namespace herald
