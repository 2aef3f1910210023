#include "service/producer_rights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace herald {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

PatternSet Patterns(std::vector<std::string> texts) { return *PatternSet::Parse(texts); }

ProducerRights Orders() {
  ProducerRights rights;
  rights.name = "orders";
  rights.may.set();
  rights.reach.topics = Patterns({"orders/**", "news"});
  rights.reach.users = Patterns({"shop/**"});
  return rights;
}

v1::Command Deliver(void (*set)(v1::Target&)) {
  v1::Command command;
  set(*command.mutable_deliver()->mutable_target());
  return command;
}

std::optional<Right> Missing(const ProducerRights& rights, const v1::Command& command) {
  const auto denial = rights.Check(command);
  return denial ? std::optional(denial->missing) : std::nullopt;
}

TEST(ProducerRightsTest, G6PatternsCoverNamesAsTopicPatternsDo) {
  const PatternSet everything = Patterns({"a", "**"});
  EXPECT_TRUE(everything.everything());
  EXPECT_TRUE(everything.Matches("") && everything.Matches("$odd-user"));
  const PatternSet some = Patterns({"a/**", "b/*"});
  EXPECT_TRUE(some.Matches("a") && some.Matches("a/b/c") && some.Matches("b/x"));
  EXPECT_FALSE(some.Matches("") || some.Matches("ab") || some.Matches("b") ||
               some.Matches("b/x/y"));
  EXPECT_FALSE(PatternSet().Matches("") || PatternSet().Matches("a"));
  EXPECT_FALSE(Patterns({"*"}).Matches(""));  // a session without a user
}

TEST(ProducerRightsTest, G6ReservedTopicsAreCoveredByTheirUsers) {
  Reach reach{Patterns({"shop/**"}), Patterns({"**"})};
  EXPECT_TRUE(reach.CoversTopic("$user/shop/1"));
  EXPECT_FALSE(reach.CoversTopic("$user/other") || reach.CoversTopic("$all") ||
               reach.CoversTopic("$else"));
  reach.users = PatternSet::Everything();
  EXPECT_TRUE(reach.CoversTopic("$user/other") && reach.CoversTopic("$all"));
  EXPECT_FALSE(reach.CoversTopic("$else"));
}

TEST(ProducerRightsTest, G6EachTargetNeedsItsRight) {
  const ProducerRights rights = Orders();
  const std::tuple<void (*)(v1::Target&), std::optional<Right>> cases[] = {
      {[](v1::Target& t) { t.set_topic("orders/1"); }, std::nullopt},
      {[](v1::Target& t) { t.set_topic("other"); }, Right::kTopics},
      {[](v1::Target& t) { t.set_topic("$user/shop/1"); }, std::nullopt},
      {[](v1::Target& t) { t.set_topic("$user/other"); }, Right::kUsers},
      {[](v1::Target& t) { t.set_topic("$all"); }, Right::kUsers},
      {[](v1::Target& t) { t.set_user_id("shop/1"); }, std::nullopt},
      {[](v1::Target& t) { t.set_user_id("other"); }, Right::kUsers},
      {[](v1::Target& t) { t.mutable_topics()->add_topics("news"); }, std::nullopt},
      {[](v1::Target& t) {
         t.mutable_topics()->add_topics("news");
         t.mutable_topics()->add_topics("other");
       },
       Right::kTopics},
      {[](v1::Target& t) {
         t.mutable_users()->add_user_ids("shop/1");
         t.mutable_users()->add_user_ids("other");
       },
       Right::kUsers},
      {[](v1::Target& t) { t.set_all(true); }, Right::kAll},
      {[](v1::Target& t) { t.set_selector("a=b"); }, Right::kSelectors},
      {[](v1::Target& t) { t.set_session_id("x"); }, std::nullopt},  // checked where it is
      {[](v1::Target& t) {
         t.set_topic("news");
         t.add_except_users("other");
       },
       Right::kUsers},
      {[](v1::Target&) {}, std::nullopt},  // makes no sense
  };
  for (const auto& [set, missing] : cases) {
    const v1::Command command = Deliver(set);
    EXPECT_EQ(Missing(rights, command), missing) << command.DebugString();
  }
}

TEST(ProducerRightsTest, G6WithoutUsersNoSessionIsTouched) {
  ProducerRights rights = Orders();
  rights.reach.users = {};
  v1::Command by_id;
  by_id.mutable_deliver()->mutable_target()->set_session_id("x");
  v1::Command by_topic;
  by_topic.mutable_disconnect()->mutable_target()->set_topic("news");
  EXPECT_EQ(Missing(rights, by_id), Right::kUsers);
  EXPECT_EQ(Missing(rights, by_topic), Right::kUsers);
  rights.selectors = true;
  EXPECT_EQ(Missing(rights, by_id), std::nullopt);
  EXPECT_EQ(Missing(rights, by_topic), std::nullopt);
}

TEST(ProducerRightsTest, G6JoinAndLeaveNeedTargetAndTopics) {
  const ProducerRights rights = Orders();
  v1::Command command;
  command.mutable_join()->mutable_target()->set_user_id("shop/1");
  command.mutable_join()->add_topics("orders/1");
  EXPECT_EQ(Missing(rights, command), std::nullopt);
  command.mutable_join()->add_topics("other");
  EXPECT_EQ(Missing(rights, command), Right::kTopics);
  command.mutable_leave()->mutable_target()->set_user_id("other");
  command.mutable_leave()->add_topics("orders/1");
  EXPECT_EQ(Missing(rights, command), Right::kUsers);
}

TEST(ProducerRightsTest, G6EveryActionHasItsVerb) {
  ProducerRights rights = Orders();
  rights.may.reset();
  v1::Command command;
  const std::pair<Right, void (*)(v1::Command&)> cases[] = {
      {Right::kDeliver, [](v1::Command& c) { c.mutable_deliver(); }},
      {Right::kJoin, [](v1::Command& c) { c.mutable_join(); }},
      {Right::kJoin, [](v1::Command& c) { c.mutable_leave(); }},
      {Right::kDisconnect, [](v1::Command& c) { c.mutable_disconnect(); }},
      {Right::kLabels, [](v1::Command& c) { c.mutable_set_labels(); }},
  };
  for (const auto& [verb, set] : cases) {
    set(command);
    EXPECT_EQ(Missing(rights, command), verb);
  }
  // A new action must get a verb of its own here.
  EXPECT_EQ(v1::Command::descriptor()->oneof_decl(0)->field_count(), 5);
}

TEST(ProducerRightsTest, G6TheRefusalNamesProducerAndRight) {
  const auto denial = Orders().Check(Deliver([](v1::Target& t) { t.set_topic("x"); }));
  ASSERT_TRUE(denial);
  EXPECT_EQ(denial->why,
            "producer \"orders\" may not deliver to topic \"x\": topics allows \"orders/**\", "
            "\"news\"");
  ProducerRights none;
  none.name = "none";
  EXPECT_THAT(none.CheckVerb(Right::kQuery)->why,
              AllOf(HasSubstr("none"), HasSubstr("lacks query")));
}

}  // namespace
}  // namespace herald
