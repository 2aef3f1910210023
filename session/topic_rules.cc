#include "session/topic_rules.h"

#include <string>
#include <utility>

namespace herald {
namespace {

TopicRule ReservedRule(std::string_view pattern, std::uint32_t history_size,
                       absl::Duration history_ttl) {
  TopicRule rule;
  rule.pattern = TopicPattern::Parse(pattern).value();
  rule.history_size = history_size;
  rule.history_ttl = history_ttl;
  rule.client_subscribe = TopicRule::Access::kNone;
  return rule;
}

}  // namespace

TopicRules::TopicRules(std::vector<TopicRule> configured)
    : rules_(std::move(configured)), configured_count_(rules_.size()) {
  rules_.push_back(ReservedRule(PersonalTopic("**"), 100, absl::Minutes(10)));
  rules_.push_back(ReservedRule(kBroadcastTopic, 100, absl::Minutes(1)));
  rules_.push_back(TopicRule{});
}

TopicRules TopicRules::DevDefaults() {
  TopicRule open;
  open.history_size = 100;
  open.client_subscribe = TopicRule::Access::kAny;
  open.client_publish = TopicRule::Access::kAny;
  open.presence = true;
  return TopicRules({open});
}

const TopicRule& TopicRules::Find(std::string_view topic) const {
  for (const TopicRule& rule : rules_) {
    if (rule.pattern.Matches(topic)) return rule;
  }
  // Reserved, and not one that Herald makes.
  static const TopicRule* const closed = new TopicRule(ReservedRule("$all", 0, absl::Minutes(10)));
  return *closed;
}

}  // namespace herald
