#pragma once

#include <grpcpp/server_context.h>

#include <string>

#include "absl/status/statusor.h"

namespace herald {

// Who makes a call, as its headers prove.
struct Caller {
  std::string producer;  // empty: the port is open to anyone
  // The caller has proved nothing, and the method is open to everybody. Its request is never read,
  // because gRPC holds a message of any announced length until it is complete: the service gets an
  // empty one.
  bool stranger = false;
};

// Admits or refuses a call by its headers. It is asked once for each call, before any byte of the
// request is read, so a caller without rights cannot make Herald hold a request.
//
// Threads: those of calls. Must not block.
class CallGate {
 public:
  // An error is the answer to the call; its request is never read.
  virtual absl::StatusOr<Caller> Admit(const grpc::ServerContext& context) const = 0;

 protected:
  ~CallGate() = default;
};

}  // namespace herald
