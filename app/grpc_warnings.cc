#include "app/grpc_warnings.h"

#include <string>

#include "app/logging.h"
#include "service/flood_limits.h"
#include "service/grpc_library.h"

namespace herald {

void WarnOfFloods(const Config& config) {
  const std::string version = GrpcLibraryVersion();
  if (IsLoopback(config.grpc_addr) || !LacksFloodLimits(version)) return;
  LogWarn(
      "this build's gRPC is older than 1.60: one connection to grpc_addr, without a token, can "
      "exhaust memory and CPU with HTTP/2 floods (rapid reset CVE-2023-44487, CONTINUATION, "
      "SETTINGS, PING, PRIORITY, WINDOW_UPDATE). Let only producers reach the port (network "
      "policy, firewall, or a proxy that limits HTTP/2), or use the image, which has a newer gRPC",
      {{"grpc", version}, {"grpc_addr", ToString(config.grpc_addr)}});
}

void RefusalLog::Report(const CallRefusals::Totals& totals) {
  if (totals == reported_) return;
  const auto since = [&](CallRefusal refusal) {
    const auto i = static_cast<std::size_t>(refusal);
    return totals[i] - reported_[i];
  };
  LogWarn("gRPC calls refused",
          {{Name(CallRefusal::kCredentials), since(CallRefusal::kCredentials)},
           {Name(CallRefusal::kLateRequest), since(CallRefusal::kLateRequest)},
           {Name(CallRefusal::kHealthWatches), since(CallRefusal::kHealthWatches)},
           {Name(CallRefusal::kNoRequest), since(CallRefusal::kNoRequest)}});
  reported_ = totals;
}

}  // namespace herald
