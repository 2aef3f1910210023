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
    : lists_(MakeList(std::move(configured))) {}

std::shared_ptr<const TopicRules::List> TopicRules::MakeList(std::vector<TopicRule> configured) {
  const std::size_t count = configured.size();
  auto list = std::make_shared<List>(List{std::move(configured), count});
  list->rules.push_back(ReservedRule(PersonalTopic("**"), 100, absl::Minutes(10)));
  list->rules.push_back(ReservedRule(kBroadcastTopic, 100, absl::Minutes(1)));
  list->rules.push_back(TopicRule{});
  return list;
}

bool KeepSameTopics(const TopicRules& a, const TopicRules& b) {
  return std::ranges::equal(a.all(), b.all(), [](const TopicRule& one, const TopicRule& other) {
    return one.pattern == other.pattern && (one.history_size > 0) == (other.history_size > 0);
  });
}

TopicRules TopicRules::DevDefaults() {
  TopicRule open;
  open.history_size = 100;
  open.client_subscribe = TopicRule::Access::kAnyone;
  open.client_publish = TopicRule::Access::kAnyone;
  open.presence = true;
  return TopicRules({open});
}

const TopicRule& TopicRules::Find(std::string_view topic) const {
  for (const TopicRule& rule : lists_->rules) {
    if (rule.pattern.Matches(topic)) return rule;
  }
  // Reserved, and not one that Herald makes.
  static const TopicRule* const closed = new TopicRule(ReservedRule("$all", 0, absl::Minutes(10)));
  return *closed;
}

}  // namespace herald
