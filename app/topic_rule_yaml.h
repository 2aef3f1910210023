// A topic rule as a YAML map, in both directions.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "session/topic_rules.h"
#include "yaml-cpp/yaml.h"

namespace herald {

// Makes an error of a place in the file and what is wrong there.
using YamlError = std::function<absl::Status(const YAML::Mark&, std::string_view)>;

absl::StatusOr<TopicRule> ReadTopicRule(const YAML::Node& node, const YamlError& error);

// `{pattern: "orders/*", history_size: 100, …}`, all keys, one line.
std::string PrintTopicRule(const TopicRule& rule);

// `text` as a YAML scalar on one line, quoted where it must be.
std::string YamlScalar(std::string_view text);

}  // namespace herald
