#include "app/descriptor_budget.h"

#include <algorithm>

namespace herald {
namespace {

constexpr std::uint64_t kMinReserve = 192;
// What one connection without a session may hold: a request header with its parser, or OpenSSL's
// buffers for two records and a certificate.
constexpr std::uint64_t kPlainBytes = 16 << 10;
constexpr std::uint64_t kTlsBytes = 64 << 10;
// What gRPC holds for a connection without a call.
constexpr std::uint64_t kGrpcBytes = 64 << 10;

}  // namespace

DescriptorBudget DivideDescriptors(std::uint64_t open_files, const Limits& limits,
                                   std::uint64_t memory_bytes, bool tls) {
  // With few descriptors Herald must start too, if only to say so.
  const std::uint64_t reserve =
      std::min(std::max(kMinReserve, open_files / 40), std::max<std::uint64_t>(open_files / 2, 1));
  DescriptorBudget budget;
  budget.max_connections = std::max<std::uint64_t>(open_files - std::min(open_files, reserve), 2);
  budget.first_reserved = open_files - std::min(open_files, reserve / 3);
  budget.max_grpc = std::max<std::uint64_t>({reserve / 2, open_files / 8, 1});
  if (memory_bytes != 0) {
    budget.max_grpc =
        std::min(budget.max_grpc, std::max<std::uint64_t>(memory_bytes / 8 / kGrpcBytes, 16));
  }
  const std::uint64_t least_unauthenticated = std::max<std::uint64_t>(
      budget.max_connections / 40, std::min<std::uint64_t>(64, budget.max_connections / 2));
  const std::uint64_t most_sessions = budget.max_connections - least_unauthenticated;
  budget.max_sessions = limits.max_sessions == 0
                            ? most_sessions
                            : std::min<std::uint64_t>(limits.max_sessions, most_sessions);
  budget.max_unauthenticated = limits.max_unauthenticated_connections;
  if (budget.max_unauthenticated == 0) {
    budget.max_unauthenticated = budget.max_connections / 2;
    if (memory_bytes != 0) {
      const std::uint64_t fit = memory_bytes / 8 / (tls ? kTlsBytes : kPlainBytes);
      budget.max_unauthenticated = std::min(budget.max_unauthenticated, fit);
    }
  }
  budget.max_unauthenticated =
      std::clamp<std::uint64_t>(budget.max_unauthenticated, 1, budget.max_connections);
  return budget;
}

}  // namespace herald
