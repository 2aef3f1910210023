#include "ws/wanted_topics.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace herald {
namespace {

TEST(WantedTopicsTest, EachTopicIsThereOnceInTheOrderOfItsFirstMention) {
  WantedTopics wanted(100);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 50; ++i) {
      const auto one = wanted.Add(fmt::format("t{}", i));
      ASSERT_TRUE(one.ok());
      (*one)->max_subscribers += static_cast<std::uint64_t>(i);
    }
  }
  EXPECT_EQ(wanted.Find("t50"), nullptr);
  const auto all = std::move(wanted).Take();
  ASSERT_EQ(all.size(), 50u);
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].topic, fmt::format("t{}", i));
    EXPECT_EQ(all[i].max_subscribers, 3 * i);
  }
}

TEST(WantedTopicsTest, G8TheFirstTopicPastTheLimitIsRefused) {
  WantedTopics wanted(2);
  ASSERT_TRUE(wanted.Add("$all").ok());
  ASSERT_TRUE(wanted.Add("a").ok());
  ASSERT_TRUE(wanted.Add("b").ok());
  ASSERT_TRUE(wanted.Add("$user/alice").ok()) << "reserved topics do not count";
  ASSERT_TRUE(wanted.Add("a").ok()) << "named twice";
  const auto refused = wanted.Add("c");
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(refused.status().message(), "a session may be on 2 topics");
}

}  // namespace
}  // namespace herald
