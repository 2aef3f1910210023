#include "ws/client_access.h"

#include <gtest/gtest.h>

namespace herald {
namespace {

using Access = TopicRule::Access;
constexpr auto kDenied = absl::StatusCode::kPermissionDenied;

TopicRule RuleWith(Access subscribe, Access publish) {
  TopicRule rule;
  rule.client_subscribe = subscribe;
  rule.client_publish = publish;
  return rule;
}

Claims Allowing(std::vector<std::string> subscribe, std::vector<std::string> publish) {
  Claims claims;
  claims.allow_subscribe = std::move(subscribe);
  claims.allow_publish = std::move(publish);
  return claims;
}

TEST(ClientAccessTest, AnyNeedsNoToken) {
  const ClientAccess nobody;
  EXPECT_TRUE(nobody.MaySubscribe(RuleWith(Access::kAny, Access::kNone), "a").ok());
  EXPECT_TRUE(nobody.MayPublish(RuleWith(Access::kNone, Access::kAny), "a").ok());
}

TEST(ClientAccessTest, NoneIsNotOpenedByAToken) {
  const ClientAccess access(Allowing({"**"}, {"**"}));
  const TopicRule rule = RuleWith(Access::kNone, Access::kNone);
  EXPECT_EQ(access.MaySubscribe(rule, "a").code(), kDenied);
  EXPECT_EQ(access.MayPublish(rule, "a").code(), kDenied);
}

TEST(ClientAccessTest, TokenNeedsAPatternOfTheToken) {
  const TopicRule rule = RuleWith(Access::kToken, Access::kToken);
  const ClientAccess access(Allowing({"news/*", "exact"}, {"chat/**"}));
  EXPECT_TRUE(access.MaySubscribe(rule, "news/1").ok());
  EXPECT_TRUE(access.MaySubscribe(rule, "exact").ok());
  EXPECT_EQ(access.MaySubscribe(rule, "news/1/2").code(), kDenied);
  EXPECT_EQ(access.MaySubscribe(rule, "chat/1").code(), kDenied);  // that one is for publishing
  EXPECT_TRUE(access.MayPublish(rule, "chat/1/2").ok());
  EXPECT_EQ(access.MayPublish(rule, "news/1").code(), kDenied);
  EXPECT_EQ(ClientAccess().MaySubscribe(rule, "exact").code(), kDenied);
}

TEST(ClientAccessTest, MalformedPatternsAllowNothing) {
  const TopicRule rule = RuleWith(Access::kToken, Access::kToken);
  const ClientAccess access(Allowing({"news-*", "", "ok"}, {}));
  EXPECT_EQ(access.MaySubscribe(rule, "news-1").code(), kDenied);
  EXPECT_EQ(access.MaySubscribe(rule, "news-*").code(), kDenied);
  EXPECT_TRUE(access.MaySubscribe(rule, "ok").ok());
}

TEST(ClientAccessTest, SaysWhichOfTheTwoDoesNotAllowIt) {
  EXPECT_EQ(ClientAccess().MaySubscribe(RuleWith(Access::kNone, Access::kNone), "a").message(),
            "the topic's rule does not let clients subscribe to it");
  EXPECT_EQ(ClientAccess().MayPublish(RuleWith(Access::kToken, Access::kToken), "a").message(),
            "the token does not allow to publish on this topic");
}

}  // namespace
}  // namespace herald
