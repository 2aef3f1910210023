// What a reload may change, and what it would.
//
// Threads: plain values.
#pragma once

#include <string>
#include <vector>

#include "app/config.h"

namespace herald {

// True for settings that count at once when the configuration is read again; others need a restart.
bool IsReloadable(std::string_view setting);

struct ConfigChange {
  Config merged;  // the current one, with what of the next counts at once
  std::vector<std::string> changed;
  std::vector<std::string> needs_restart;
};

// What has to be done to get from one to the other. Errors of Validate for the merged one, which is
// what will run.
absl::StatusOr<ConfigChange> CompareConfigs(const Config& current, const Config& next);

}  // namespace herald
