#pragma once

#include <grpcpp/server_context.h>

#include "absl/status/statusor.h"
#include "service/producer_gate.h"

namespace herald {

// Who makes a call, as its headers prove.
struct Caller {
  ProducerGate gate;  // the producer's name, rights and rates
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
