#include "app/reload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/settings.h"

namespace herald {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

absl::StatusOr<Config> Load(std::vector<const char*> flags) {
  flags.insert(flags.begin(), {"herald", "--dev"});
  return LoadConfig(static_cast<int>(flags.size()), flags.data(), {});
}

TEST(ReloadTest, TakesWhatMayChangeAndNamesTheRest) {
  const auto current = Load({}), next = Load({"--max_message_bytes=1KiB", "--threads=7",
                                              "--allowed_origins=https://a.example"});
  ASSERT_TRUE(current.ok() && next.ok());
  const auto change = CompareConfigs(*current, *next);
  ASSERT_TRUE(change.ok()) << change.status();
  EXPECT_THAT(change->changed, ElementsAre("allowed_origins", "max_message_bytes"));
  EXPECT_THAT(change->needs_restart, ElementsAre("threads"));
  EXPECT_EQ(change->merged.limits.max_message_bytes, 1024u);
  EXPECT_THAT(change->merged.allowed_origins, ElementsAre("https://a.example"));
  EXPECT_EQ(change->merged.threads, current->threads) << "as long as it runs";
  // So that it is named again the next time.
  EXPECT_THAT(CompareConfigs(change->merged, *next)->needs_restart, ElementsAre("threads"));
  EXPECT_THAT(CompareConfigs(change->merged, *next)->changed, IsEmpty());
}

TEST(ReloadTest, ComparesTopicRules) {
  const auto current = Load({});
  Config next = *current;
  EXPECT_THAT(CompareConfigs(*current, next)->changed, IsEmpty());
  TopicRule rule;
  rule.pattern = *TopicPattern::Parse("a/*");
  rule.history_size = 7;
  next.topic_rules = TopicRules({rule});
  const auto change = CompareConfigs(*current, next);
  EXPECT_THAT(change->changed, ElementsAre("topic_rules"));
  EXPECT_EQ(change->merged.topic_rules.Find("a/b").history_size, 7u);
}

// A port that is open beyond loopback stays so until the restart: tokens may not go before.
TEST(ReloadTest, RefusesWhatWouldOnlyBeSafeAfterARestart) {
  Config current = *Load({"--grpc_addr=0.0.0.0:1", "--insecure_grpc"});
  current.insecure_grpc = false;
  current.producers_file = "tokens";
  const auto next = Load({"--grpc_addr=127.0.0.1:1"});
  const auto change = CompareConfigs(current, *next);
  ASSERT_EQ(change.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(change.status().message()), HasSubstr("grpc_addr"));
}

TEST(ReloadTest, EveryNameIsASetting) {
  int reloadable = 0;
  for (const Setting& setting : Settings()) reloadable += IsReloadable(setting.name);
  EXPECT_EQ(reloadable, 50) << "topic_rules is none of the table";
  EXPECT_TRUE(IsReloadable("topic_rules"));
  EXPECT_FALSE(IsReloadable("client_addr"));
}

}  // namespace
}  // namespace herald
