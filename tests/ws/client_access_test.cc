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

TEST(ClientAccessTest, AnyoneNeedsNoToken) {
  const ClientAccess nobody;
  EXPECT_TRUE(nobody.MaySubscribe(RuleWith(Access::kAnyone, Access::kNone), "a", "").ok());
  EXPECT_TRUE(nobody.MayPublish(RuleWith(Access::kNone, Access::kAnyone), "a", "").ok());
}

TEST(ClientAccessTest, C5UserNeedsAUserAndNoGrant) {
  const TopicRule rule = RuleWith(Access::kUser, Access::kUser);
  EXPECT_TRUE(ClientAccess().MaySubscribe(rule, "a", "alice").ok());
  EXPECT_TRUE(ClientAccess().MayPublish(rule, "a", "alice").ok());
  EXPECT_EQ(ClientAccess().MaySubscribe(rule, "a", "").code(), kDenied);
  EXPECT_EQ(ClientAccess().MayPublish(rule, "a", "").code(), kDenied);
}

TEST(ClientAccessTest, NoneIsNotOpenedByAToken) {
  const ClientAccess access(Allowing({"**"}, {"**"}));
  const TopicRule rule = RuleWith(Access::kNone, Access::kNone);
  EXPECT_EQ(access.MaySubscribe(rule, "a", "alice").code(), kDenied);
  EXPECT_EQ(access.MayPublish(rule, "a", "alice").code(), kDenied);
}

TEST(ClientAccessTest, GrantedNeedsAPatternOfTheToken) {
  const TopicRule rule = RuleWith(Access::kGranted, Access::kGranted);
  const ClientAccess access(Allowing({"news/*", "exact"}, {"chat/**"}));
  EXPECT_TRUE(access.MaySubscribe(rule, "news/1", "alice").ok());
  EXPECT_TRUE(access.MaySubscribe(rule, "exact", "alice").ok());
  EXPECT_EQ(access.MaySubscribe(rule, "news/1/2", "alice").code(), kDenied);
  EXPECT_EQ(access.MaySubscribe(rule, "chat/1", "alice").code(), kDenied);  // for publishing
  EXPECT_TRUE(access.MayPublish(rule, "chat/1/2", "alice").ok());
  EXPECT_EQ(access.MayPublish(rule, "news/1", "alice").code(), kDenied);
  EXPECT_EQ(ClientAccess().MaySubscribe(rule, "exact", "alice").code(), kDenied);
}

TEST(ClientAccessTest, C5TopicsOfTheTokenAreGrantedForSubscribing) {
  const TopicRule rule = RuleWith(Access::kGranted, Access::kGranted);
  Claims claims;
  claims.topics = {"a", "orders/42"};
  const ClientAccess access(claims);
  for (const char* topic : {"a", "orders/42"}) {
    EXPECT_TRUE(access.MaySubscribe(rule, topic, "alice").ok()) << topic;
    EXPECT_TRUE(access.SubscribedByToken(topic)) << topic;
    EXPECT_EQ(access.MayPublish(rule, topic, "alice").code(), kDenied) << topic;
  }
  for (const char* topic : {"", "orders", "orders/4", "orders/421", "a\norders/42"}) {
    EXPECT_EQ(access.MaySubscribe(rule, topic, "alice").code(), kDenied) << topic;
    EXPECT_FALSE(access.SubscribedByToken(topic)) << topic;
  }
}

TEST(ClientAccessTest, MalformedPatternsGrantNothing) {
  const TopicRule rule = RuleWith(Access::kGranted, Access::kGranted);
  const ClientAccess access(Allowing({"news-*", "", "ok"}, {}));
  EXPECT_EQ(access.MaySubscribe(rule, "news-1", "alice").code(), kDenied);
  EXPECT_EQ(access.MaySubscribe(rule, "news-*", "alice").code(), kDenied);
  EXPECT_TRUE(access.MaySubscribe(rule, "ok", "alice").ok());
}

TEST(ClientAccessTest, C5SaysWhatStandsAgainstIt) {
  const TopicRule none = RuleWith(Access::kNone, Access::kNone);
  const TopicRule granted = RuleWith(Access::kGranted, Access::kGranted);
  const ClientAccess access;
  EXPECT_EQ(access.MaySubscribe(none, "a", "").message(),
            "the topic's rule does not let clients subscribe to it");
  EXPECT_EQ(access.MayPublish(granted, "a", "alice").message(),
            "the token does not grant to publish on this topic: its `allow` does not have it");
  EXPECT_EQ(access.MaySubscribe(granted, "a", "").message(),
            "sign in: only a client whose token grants it may subscribe to this topic");
  EXPECT_EQ(access.MayPublish(RuleWith(Access::kUser, Access::kUser), "a", "").message(),
            "sign in: only clients with a user may publish on this topic");
}

TEST(ClientAccessTest, KnowsItsToken) {
  Claims claims;
  claims.key = 7;
  claims.token_id = "t1";
  const ClientAccess access(claims);
  EXPECT_EQ(access.key(), 7u);
  EXPECT_TRUE(access.HasTokenId("t1"));
  EXPECT_FALSE(access.HasTokenId("t2"));
  EXPECT_FALSE(access.HasTokenId(""));
  EXPECT_EQ(ClientAccess().key(), 0u);
  EXPECT_FALSE(ClientAccess().HasTokenId(""));
}

TEST(ClientAccessTest, KnowsUntilWhen) {
  const absl::Time time = absl::FromUnixSeconds(1'800'000'000);
  EXPECT_EQ(ClientAccess().expires_at(), absl::InfiniteFuture());
  EXPECT_GT(ClientAccess(Allowing({"a"}, {})).expires_at(), time + absl::Hours(24 * 365));
  Claims claims;
  claims.expires_at = time;
  ClientAccess access(claims);
  EXPECT_EQ(access.expires_at(), time);
  access.ExpireAt(time + absl::Seconds(1));
  EXPECT_EQ(access.expires_at(), time);
  access.ExpireAt(time - absl::Seconds(1));
  EXPECT_EQ(access.expires_at(), time - absl::Seconds(1));
}

}  // namespace
}  // namespace herald
