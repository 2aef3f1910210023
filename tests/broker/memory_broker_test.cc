#include "broker/memory_broker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "tests/broker/broker_contract.h"

namespace herald {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

INSTANTIATE_TEST_SUITE_P(Memory, BrokerContractTest,
                         ::testing::Values(BrokerUnderTest{"Memory", Node::MakeMemoryBroker}),
                         BrokerName);

class MemoryBrokerTest : public ::testing::Test {
 protected:
  explicit MemoryBrokerTest(std::size_t max_history_bytes = 100'000)
      : node_(1, {}, [&](auto& shards, auto& index, auto rules) {
          auto broker =
              std::make_unique<MemoryBroker>(shards, index, std::move(rules), max_history_bytes);
          broker_ = broker.get();
          return broker;
        }) {}

  MemoryBroker* broker_ = nullptr;
  Node node_;
};

TEST_F(MemoryBrokerTest, CountsWhatItsLogsHold) {
  EXPECT_EQ(broker_->history_bytes(), 0u);
  ASSERT_TRUE(node_.Publish("live/a", std::string(1000, 'x')).ok());
  EXPECT_EQ(broker_->history_bytes(), 0u);
  ASSERT_TRUE(node_.Publish("small/a", std::string(1000, 'x')).ok());
  const std::uint64_t one = broker_->history_bytes();
  EXPECT_GE(one, 1000u);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(node_.Publish("small/a", std::string(1000, 'x')).ok());
  EXPECT_EQ(broker_->history_bytes(), 5 * one);
}

TEST_F(MemoryBrokerTest, AllLogsTogetherKeepTheLimit) {
  for (int topic = 0; topic < 20; ++topic) {
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(node_.Publish(fmt::format("kept/{}", topic), std::string(1000, 'x')).ok());
      ASSERT_LE(broker_->history_bytes(), 100'000u);
    }
  }
  EXPECT_GT(broker_->history_bytes(), 50'000u);
}

// What does not fit is let go of, and said so: never a part for the whole.
TEST_F(MemoryBrokerTest, AMessageThatDoesNotFitIsDeliveredAndCannotBeRecovered) {
  auto live = node_.Add({.max_outbound_bytes = 1 << 20}), late = node_.Add();
  const auto start = node_.Subscribe(*live, "kept/a");
  ASSERT_TRUE(start.ok());
  const auto published = node_.Publish("kept/a", std::string(200'000, 'x'));
  ASSERT_TRUE(published.ok());
  EXPECT_EQ(published->position.offset, 1u);
  ASSERT_TRUE(node_.WaitReceived(*live, 1));
  EXPECT_EQ(broker_->history_bytes(), 0u);
  const auto resumed = node_.Subscribe(*late, "kept/a", start->position);
  EXPECT_FALSE(resumed->recovered);
  EXPECT_EQ(resumed->reason, NotRecovered::kExpired);
}

TEST_F(MemoryBrokerTest, SweepLetsGoOfWhatIsExpired) {
  ASSERT_TRUE(node_.Publish("kept/a", "x").ok());
  broker_->Sweep(absl::Now());
  EXPECT_THAT(node_.Read({.topic = "kept/a"}).messages, SizeIs(1));
  broker_->Sweep(absl::Now() + absl::Minutes(11));
  EXPECT_EQ(broker_->history_bytes(), 0u);
}

TEST_F(MemoryBrokerTest, SweepForgetsLogsThatNobodyUsesButNotWhereTheyGoOn) {
  const auto before = node_.Publish("kept/a", "x");
  broker_->Sweep(absl::Now() + MemoryBroker::kForgotten - absl::Minutes(1));
  EXPECT_EQ(broker_->forgotten_topics(), 0u);
  broker_->Sweep(absl::Now() + MemoryBroker::kForgotten + absl::Minutes(1));
  EXPECT_EQ(broker_->forgotten_topics(), 1u);
  EXPECT_EQ(node_.Read({.topic = "kept/a"}).current, before->position);
  EXPECT_TRUE(node_.Read({.topic = "kept/a", .since = before->position}).complete);
  auto session = node_.Add();
  const auto start = node_.Subscribe(*session, "kept/a", before->position);
  EXPECT_TRUE(start->recovered);
  EXPECT_EQ(node_.Publish("kept/a", "y")->position.offset, 2u);
  ASSERT_TRUE(node_.WaitReceived(*session, 1));
  // Whoever missed what was forgotten is told so.
  auto other = node_.Add();
  const auto late = node_.Subscribe(*other, "kept/a",
                                    Position{before->position.epoch, 0, before->position.fence});
  EXPECT_FALSE(late->recovered);
  EXPECT_EQ(late->reason, NotRecovered::kExpired);
}

TEST_F(MemoryBrokerTest, RemembersAsManyForgottenTopicsAsItMay) {
  // One stripe's share, through one topic and its hash's neighbours.
  std::vector<Position> positions;
  const int topics = 4 * static_cast<int>(MemoryBroker::kMaxForgotten / 256);
  for (int i = 0; i < topics; ++i)
    positions.push_back(node_.Publish("kept/" + std::to_string(i), "x")->position);
  broker_->Sweep(absl::Now() + MemoryBroker::kForgotten + absl::Minutes(1));
  EXPECT_EQ(broker_->forgotten_topics(), static_cast<std::uint64_t>(topics));
  EXPECT_EQ(broker_->history_bytes(), 0u);
  for (int i = 0; i < topics; ++i)
    EXPECT_EQ(node_.Read({.topic = "kept/" + std::to_string(i)}).current,
              positions[static_cast<std::size_t>(i)]);
}

TEST_F(MemoryBrokerTest, SweepsAPartAtATimeAndAllInTurn) {
  constexpr std::uint64_t kTopics = 2000;
  for (std::uint64_t i = 0; i < kTopics; ++i)
    ASSERT_TRUE(node_.Publish("kept/" + std::to_string(i), "x").ok());
  const absl::Time later = absl::Now() + MemoryBroker::kForgotten + absl::Minutes(1);
  broker_->Sweep(later, MemoryBroker::kStripes / 16);
  EXPECT_GT(broker_->forgotten_topics(), 0u);
  EXPECT_LT(broker_->forgotten_topics(), kTopics / 4);
  for (int i = 1; i < 16; ++i) broker_->Sweep(later, MemoryBroker::kStripes / 16);
  EXPECT_EQ(broker_->forgotten_topics(), kTopics);
}

TEST_F(MemoryBrokerTest, SweepKeepsTheLogOfATopicWithSubscribers) {
  auto session = node_.Add();
  ASSERT_TRUE(node_.Subscribe(*session, "kept/a").ok());
  const auto before = node_.Publish("kept/a", "x");
  broker_->Sweep(absl::Now() + absl::Hours(24));
  EXPECT_EQ(node_.Read({.topic = "kept/a"}).current, before->position);
  EXPECT_EQ(node_.Publish("kept/a", "y")->position.offset, before->position.offset + 1);
  ASSERT_TRUE(node_.WaitReceived(*session, 2));
}

TEST_F(MemoryBrokerTest, ATopicWithoutMessagesHasAPosition) {
  const Position start = node_.Read({.topic = "kept/a"}).current;
  EXPECT_FALSE(start.empty());
  EXPECT_EQ(start.offset, 0u);
  EXPECT_TRUE(node_.Read({.topic = "kept/a", .since = start}).complete);
  EXPECT_FALSE(node_.Read({.topic = "kept/a", .since = Position{1, 2, 3}}).complete);
  EXPECT_NE(node_.Read({.topic = "kept/b"}).current, start);
  auto session = node_.Add();
  EXPECT_EQ(node_.Subscribe(*session, "kept/a")->position, start);
  // What comes first is behind it.
  const auto first = node_.Publish("kept/a", "x");
  EXPECT_EQ(first->position.epoch, start.epoch);
  EXPECT_EQ(first->position.offset, 1u);
  auto late = node_.Add();
  const auto resumed = node_.Subscribe(*late, "kept/a", start);
  EXPECT_TRUE(resumed->recovered);
  EXPECT_EQ(resumed->missed.size(), 1u);
}

}  // namespace
}  // namespace herald
