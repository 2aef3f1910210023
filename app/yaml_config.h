// Settings from the YAML file: a map from setting names to values, and `topic_rules`, a list of
// maps.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "app/settings.h"
#include "session/topic_rules.h"

namespace herald {

struct YamlConfig {
  std::vector<Assignment> assignments;
  std::optional<std::vector<TopicRule>> topic_rules;
  std::string topic_rules_origin;  // "herald.yaml:7"
};

// kInvalidArgument begins with file and line.
absl::StatusOr<YamlConfig> ReadYamlFile(const std::string& path);

// As above for the text of a file called `path`.
absl::StatusOr<YamlConfig> ReadYaml(const std::string& text, const std::string& path);

}  // namespace herald
