#include "app/topic_rule_yaml.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "app/setting_kinds.h"
#include "fmt/format.h"
#include "fmt/ranges.h"

namespace herald {
namespace {

using Access = TopicRule::Access;
using setting::Choice;
using setting::Count;
using setting::Duration;
using setting::Switch;

constexpr std::array<std::pair<std::string_view, Access>, 4> kAccess = {
    {{"none", Access::kNone},
     {"granted", Access::kGranted},
     {"user", Access::kUser},
     {"anyone", Access::kAnyone}}};
constexpr std::array<std::pair<std::string_view, Overflow>, 3> kOverflow = {
    {{"disconnect", Overflow::kDisconnect},
     {"drop_oldest", Overflow::kDropOldest},
     {"drop_newest", Overflow::kDropNewest}}};

struct Pattern {
  absl::Status Parse(std::string_view text, TopicPattern& value) const {
    absl::StatusOr<TopicPattern> pattern = TopicPattern::Parse(text);
    if (pattern.ok()) value = *std::move(pattern);
    return pattern.status();
  }
  std::string Print(const TopicPattern& value) const { return value.text(); }
};

struct Key {
  std::string_view name;
  absl::Status (*parse)(std::string_view text, TopicRule& rule);
  std::string (*print)(const TopicRule& rule);
};

#define HERALD_KEY(field, kind)                                                              \
  Key {                                                                                      \
    #field, [](std::string_view text, TopicRule& r) { return (kind).Parse(text, r.field); }, \
        [](const TopicRule& r) { return (kind).Print(r.field); }                             \
  }
const std::array kKeys = {
    HERALD_KEY(pattern, Pattern()),
    HERALD_KEY(history_size, Count(0, 1'000'000)),
    HERALD_KEY(history_ttl, Duration()),
    HERALD_KEY(client_subscribe, Choice<Access>(kAccess)),
    HERALD_KEY(client_publish, Choice<Access>(kAccess)),
    HERALD_KEY(presence, Switch()),
    HERALD_KEY(join_leave, Switch()),
    HERALD_KEY(overflow, Choice<Overflow>(kOverflow)),
    HERALD_KEY(max_subscribers, Count()),
};
#undef HERALD_KEY

std::vector<std::string_view> KeyNames() {
  std::vector<std::string_view> names;
  for (const Key& key : kKeys) names.push_back(key.name);
  return names;
}

}  // namespace

absl::StatusOr<TopicRule> ReadTopicRule(const YAML::Node& node, const YamlError& error) {
  if (!node.IsMap()) return error(node.Mark(), "topic_rules: a rule is not a map with a pattern");
  TopicRule rule;
  std::set<std::string> seen;
  for (const auto& entry : node) {
    const std::string name = entry.first.IsScalar() ? entry.first.Scalar() : "";
    const auto key = std::ranges::find(kKeys, name, &Key::name);
    if (key == kKeys.end()) {
      return error(entry.first.Mark(), fmt::format("topic_rules: unknown key {}; there are {}",
                                                   name, fmt::join(KeyNames(), ", ")));
    }
    if (!seen.insert(name).second) {
      return error(entry.first.Mark(), fmt::format("topic_rules: {} is there twice", name));
    }
    if (!entry.second.IsScalar()) {
      return error(entry.first.Mark(), fmt::format("topic_rules: {} is not one value", name));
    }
    if (absl::Status status = key->parse(entry.second.Scalar(), rule); !status.ok()) {
      return error(entry.second.Mark(),
                   fmt::format("topic_rules: {}: {}", name, std::string(status.message())));
    }
  }
  if (!seen.contains("pattern")) {
    return error(node.Mark(), "topic_rules: a rule has no pattern");
  }
  return rule;
}

std::string PrintTopicRule(const TopicRule& rule) {
  std::vector<std::string> parts;
  for (const Key& key : kKeys) {
    parts.push_back(fmt::format("{}: {}", key.name, YamlScalar(key.print(rule))));
  }
  return fmt::format("{{{}}}", fmt::join(parts, ", "));
}

std::string YamlScalar(std::string_view text) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./_-:";
  const bool plain = !text.empty() && text.find_first_not_of(kPlain) == std::string_view::npos &&
                     text.front() != '-' && text.front() != ':' && text.back() != ':' &&
                     text != "null" && text != "Null" && text != "NULL";
  return plain ? std::string(text) : boost::json::serialize(boost::json::value(text));
}

}  // namespace herald
