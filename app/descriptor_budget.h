#pragma once

#include <cstdint>

#include "session/limits.h"

namespace herald {

// How the open-files limit of the process is divided.
//
//   open files = clients + reserve (producers, NATS, admin port, key files, listeners)
//   producers  = most of the reserve; more where clients leave descriptors unused
//   clients    = sessions + connections without one, which give way to sessions
//
// A plain value.
struct DescriptorBudget {
  std::uint64_t max_connections = 0;      // clients of all kinds
  std::uint64_t max_sessions = 0;         // leaves room for some connections without a session
  std::uint64_t max_unauthenticated = 0;  // connections without a session
  std::uint64_t max_grpc = 0;             // connections of producers
  // Above this descriptor number no client is accepted, whoever uses the others: the last part of the
  // reserve.
  std::uint64_t first_reserved = 0;
};

// `memory_bytes`: what the process may use; connections without a session get an eighth of it, those
// of producers another. 0: unknown. `tls`: they may hold the buffers of a TLS handshake.
DescriptorBudget DivideDescriptors(std::uint64_t open_files, const Limits& limits,
                                   std::uint64_t memory_bytes, bool tls);

}  // namespace herald
