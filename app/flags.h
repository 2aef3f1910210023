// The command line: Abseil flags, one for each setting.
//
// A flag only carries text from here to the table of settings, so that all sources share one
// parser. What one stays set to is read by nobody, the next ParseFlags included.
// absl::ParseCommandLine is not used: it ends the process at the first error, so it could neither
// be tested nor run again at a reload.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "app/config.h"
#include "app/settings.h"

namespace herald {

struct CommandLine {
  Config::Action action = Config::Action::kRun;
  std::optional<std::string> config_path;
  std::vector<Assignment> assignments;  // in the order given; the last one of a flag counts
};

// Abseil's forms: --name=value, --name value, --switch, --noswitch, with one or two hyphens.
absl::StatusOr<CommandLine> ParseFlags(int argc, const char* const* argv);

}  // namespace herald
