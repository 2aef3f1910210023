// Settings from HERALD_<NAME> variables.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "app/config.h"
#include "app/settings.h"

namespace herald {

struct EnvironmentSettings {
  std::optional<std::string> config_path;  // HERALD_CONFIG
  std::vector<Assignment> assignments;
};

// An unknown HERALD_ variable is an error, but for those that Kubernetes and Docker links set for a
// service called herald or herald-…: HERALD_SERVICE_HOST, HERALD_PORT_8080_TCP_ADDR and the like.
absl::StatusOr<EnvironmentSettings> ReadEnvironment(const Environment& environment);

}  // namespace herald
