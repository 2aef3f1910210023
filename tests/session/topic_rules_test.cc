#include "session/topic_rules.h"

#include <gtest/gtest.h>

#include <string_view>

namespace herald {
namespace {

using Access = TopicRule::Access;

TopicRule RuleFor(std::string_view pattern, std::uint32_t history_size) {
  TopicRule rule;
  rule.pattern = TopicPattern::Parse(pattern).value();
  rule.history_size = history_size;
  return rule;
}

TEST(TopicRulesTest, BuiltInRulesKeepHistoryOfPersonalAndBroadcastTopics) {
  const TopicRules rules;
  EXPECT_EQ(rules.Find("$user/alice").history_size, 100u);
  EXPECT_EQ(rules.Find("$user/alice").history_ttl, absl::Minutes(10));
  EXPECT_EQ(rules.Find("$user/team/alice").history_size, 100u);
  EXPECT_EQ(rules.Find("$all").history_size, 100u);
  EXPECT_EQ(rules.Find("$all").history_ttl, absl::Minutes(1));
}

TEST(TopicRulesTest, OtherTopicsHaveNoHistoryAndNeedATokenToSubscribe) {
  const TopicRules rules;
  const TopicRule& rule = rules.Find("orders/42");
  EXPECT_EQ(rule.history_size, 0u);
  EXPECT_EQ(rule.client_subscribe, Access::kGranted);
  EXPECT_EQ(rule.client_publish, Access::kNone);
  EXPECT_EQ(rule.overflow, Overflow::kDisconnect);
  EXPECT_FALSE(rule.presence);
}

TEST(TopicRulesTest, FirstMatchWins) {
  const TopicRules rules({RuleFor("orders/vip", 1), RuleFor("orders/*", 2), RuleFor("**", 3)});
  EXPECT_EQ(rules.Find("orders/vip").history_size, 1u);
  EXPECT_EQ(rules.Find("orders/42").history_size, 2u);
  EXPECT_EQ(rules.Find("news").history_size, 3u);
  EXPECT_EQ(rules.configured().size(), 3u);
}

TEST(TopicRulesTest, ConfiguredRuleOverridesABuiltInOneOnlyByItsReservedName) {
  const TopicRules rules({RuleFor("**", 7), RuleFor("$all", 5)});
  EXPECT_EQ(rules.Find("$all").history_size, 5u);
  EXPECT_EQ(rules.Find("$user/alice").history_size, 100u);
}

TEST(TopicRulesTest, ReservedTopicsAreClosedToClientsEvenInDev) {
  for (const TopicRules& rules : {TopicRules(), TopicRules::DevDefaults()}) {
    for (std::string_view topic : {"$all", "$user/alice", "$other"}) {
      EXPECT_EQ(rules.Find(topic).client_subscribe, Access::kNone) << topic;
      EXPECT_EQ(rules.Find(topic).client_publish, Access::kNone) << topic;
    }
  }
}

TEST(TopicRulesTest, DevDefaultsOpenEveryTopic) {
  const TopicRules rules = TopicRules::DevDefaults();
  const TopicRule& rule = rules.Find("chat/room");
  EXPECT_EQ(rule.client_subscribe, Access::kAnyone);
  EXPECT_EQ(rule.client_publish, Access::kAnyone);
  EXPECT_TRUE(rule.presence);
  EXPECT_EQ(rule.history_size, 100u);
  EXPECT_EQ(rule.history_ttl, absl::Minutes(10));
}

}  // namespace
}  // namespace herald
