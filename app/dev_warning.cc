#include "app/dev_warning.h"

#include <utility>

#include "app/logging.h"

namespace herald {

void WarnOfDev(const Config& config) {
  if (!config.dev) return;
  for (const auto& [setting, address] :
       {std::pair{"client_addr", &config.client_addr}, std::pair{"grpc_addr", &config.grpc_addr},
        std::pair{"admin_addr", &config.admin_addr}}) {
    if (IsLoopback(*address)) continue;
    LogWarn(
        "--dev opens Herald to everyone who reaches it, and this address is not loopback: clients "
        "need no token and choose their user; use --dev on your own machine only",
        {{"setting", setting}, {"address", ToString(*address)}});
  }
}

}  // namespace herald
