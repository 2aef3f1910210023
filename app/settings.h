// The table of app/settings.inc as values.
//
// Threads: made once, immutable, any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "app/config.h"

namespace herald {

struct Setting {
  std::string_view section;
  std::string_view name;
  std::string_view help;
  std::string unit;
  bool is_switch;  // as a flag it needs no value
  bool is_list;    // in YAML it may be a list
  // Puts `text` into the config; on error the config is unchanged.
  absl::Status (*parse)(std::string_view text, Config& config);
  // The setting's text, which `parse` reads; nothing secret.
  std::string (*print)(const Config& config);
};

std::span<const Setting> Settings();

// nullptr if there is none of that name.
const Setting* FindSetting(std::string_view name);

// A value from one source.
struct Assignment {
  const Setting* setting;
  std::string text;
  std::string where;   // begins an error: "--dev", "HERALD_DEV" or "herald.yaml:3: dev"
  std::string origin;  // for --print_config: "flag", "environment" or "herald.yaml:3"
};

// The closest of our names and `other_names` to what was probably meant; "" if none is close.
std::string_view ClosestName(std::string_view unknown,
                             std::span<const std::string_view> other_names = {});

}  // namespace herald
