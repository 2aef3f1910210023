#include "session/topic_index.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace herald {
namespace {

TEST(TopicIndexTest, FindsNothingAtFirst) {
  TopicIndex index;
  EXPECT_EQ(index.Find("a").shards, 0u);
  EXPECT_EQ(index.Find("a").subscribers, 0u);
  EXPECT_EQ(index.Count().topics, 0u);
}

TEST(TopicIndexTest, TellsShardsAndSubscribers) {
  TopicIndex index;
  EXPECT_TRUE(index.Add("a", 0));
  EXPECT_TRUE(index.Add("a", 0));
  EXPECT_TRUE(index.Add("a", 63));
  EXPECT_TRUE(index.Add("b", 5));
  EXPECT_EQ(index.Find("a").shards, 1u | std::uint64_t{1} << 63);
  EXPECT_EQ(index.Find("a").subscribers, 3u);
  EXPECT_EQ(index.Find("b").shards, 1u << 5);
}

TEST(TopicIndexTest, AShardGoesWithItsLastSubscriber) {
  TopicIndex index;
  index.Add("a", 1);
  index.Add("a", 1);
  index.Add("a", 2);
  index.Remove("a", 1);
  EXPECT_EQ(index.Find("a").shards, 0b110u);
  index.Remove("a", 1);
  EXPECT_EQ(index.Find("a").shards, 0b100u);
  index.Remove("a", 2);
  EXPECT_EQ(index.Find("a").shards, 0u);
  EXPECT_EQ(index.Count().topics, 0u);
}

TEST(TopicIndexTest, RemovingWhatIsNotThereDoesNothing) {
  TopicIndex index;
  index.Remove("a", 1);
  index.Add("a", 1);
  index.Remove("a", 2);
  index.Remove("b", 1);
  EXPECT_EQ(index.Find("a").subscribers, 1u);
}

TEST(TopicIndexTest, RefusesOneSubscriberTooMany) {
  TopicIndex index;
  EXPECT_TRUE(index.Add("a", 0, 2));
  EXPECT_TRUE(index.Add("a", 1, 2));
  EXPECT_FALSE(index.Add("a", 2, 2));  // the limit counts all shards
  EXPECT_FALSE(index.Add("a", 0, 2));
  EXPECT_EQ(index.Find("a").subscribers, 2u);
  EXPECT_EQ(index.Find("a").shards, 0b11u);
  index.Remove("a", 0);
  EXPECT_TRUE(index.Add("a", 2, 2));
  EXPECT_TRUE(index.Add("a", 2, 0));  // no limit
}

TEST(TopicIndexTest, CountsTopicsAndUsers) {
  TopicIndex index;
  index.Add("$all", 0);
  index.Add("$user/alice", 0);
  index.Add("$user/alice", 1);
  index.Add("$user/bob", 1);
  index.Add("users", 1);
  EXPECT_EQ(index.Count().topics, 4u);
  EXPECT_EQ(index.Count().users, 2u);
}

TEST(TopicIndexTest, KeepsItsCountsUnderConcurrency) {
  constexpr int kThreads = 4, kRounds = 5000;
  constexpr std::uint64_t kLimit = 2;
  TopicIndex index;
  std::atomic<bool> too_many{false};
  std::vector<std::thread> threads;
  for (int shard = 0; shard < kThreads; ++shard) {
    threads.emplace_back([&, shard] {
      for (int i = 0; i < kRounds; ++i) {
        const std::string topic = fmt::format("t/{}", i % 7);
        index.Add(topic, shard);
        if ((index.Find(topic).shards >> shard & 1) == 0) too_many = true;
        const bool added = index.Add("limited", shard, kLimit);
        if (index.Find("limited").subscribers > kLimit) too_many = true;
        if (added) index.Remove("limited", shard);
        index.Remove(topic, shard);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(too_many);
  EXPECT_EQ(index.Count().topics, 0u);
}

}  // namespace
}  // namespace herald
