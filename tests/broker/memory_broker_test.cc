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
  ASSERT_TRUE(node_.Publish("small/a", std::string(1000, 'x')).ok());
  const std::uint64_t message = broker_->history_bytes() - one;
  EXPECT_GE(message, 1000u);
  EXPECT_GT(one, message) << "the log itself counts too";
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(node_.Publish("small/a", std::string(1000, 'x')).ok());
  EXPECT_EQ(broker_->history_bytes(), one + 4 * message);
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

// One topic's flood costs other topics nothing.
TEST_F(MemoryBrokerTest, G11TheTopicThatHoldsTheMostGivesWay) {
  for (int i = 0; i < 500; ++i)
    ASSERT_TRUE(node_.Publish("kept/flood", std::string(3000, 'x')).ok());
  const auto before = node_.Publish("kept/quiet", std::string(4000, 'x'));
  ASSERT_TRUE(before.ok());
  ASSERT_TRUE(node_.Publish("kept/quiet", std::string(4000, 'y')).ok());
  EXPECT_GT(broker_->evicted_messages(), 0u);
  auto session = node_.Add();
  const auto start = node_.Subscribe(*session, "kept/quiet", before->position);
  ASSERT_TRUE(start.ok());
  EXPECT_TRUE(start->recovered);
  EXPECT_EQ(start->missed.size(), 1u);
}

// Many small topics of one producer cost others nothing: none of them is larger than theirs.
TEST_F(MemoryBrokerTest, G19ManySmallTopicsOfAProducerPushOutItsOwn) {
  const auto publish = [&](const std::string& topic, std::size_t bytes, const char* producer) {
    Publication publication{Body(std::string(bytes, 'x')), topic, nullptr, nullptr, true};
    publication.owner = OwnerOf(producer);
    const auto published = node_.Publish(std::move(publication));
    EXPECT_TRUE(published.ok());
    return published->position;
  };
  const Position before = publish("kept/quiet", 4000, "calm");
  publish("kept/quiet", 4000, "calm");
  const Position chat = publish("kept/chat", 4000, "");
  publish("kept/chat", 4000, "");
  for (int i = 0; i < 1000; ++i) publish(fmt::format("kept/small/{}", i), 500, "greedy");
  EXPECT_GT(broker_->evicted_messages(), 0u);
  EXPECT_LE(broker_->history_bytes(), 100'000u);
  auto session = node_.Add();
  EXPECT_TRUE(node_.Subscribe(*session, "kept/quiet", before)->recovered);
  EXPECT_TRUE(node_.Subscribe(*session, "kept/chat", chat)->recovered);
}

TEST_F(MemoryBrokerTest, G19AHistoryBelongsToWhoPublishedLast) {
  const auto publish = [&](const std::string& topic, std::size_t bytes, const char* producer) {
    Publication publication{Body(std::string(bytes, 'x')), topic, nullptr, nullptr, true};
    publication.owner = OwnerOf(producer);
    return node_.Publish(std::move(publication))->position;
  };
  for (int i = 0; i < 10; ++i) publish("kept/moved", 4000, "first");
  for (int i = 0; i < 10; ++i) publish("kept/other", 4000, "second");
  publish("kept/moved", 10, "second");
  // "first" holds nothing now, and what it publishes stays.
  const Position before = publish("kept/mine", 4000, "first");
  for (int i = 0; i < 4; ++i) publish("kept/mine", 4000, "first");
  auto session = node_.Add();
  EXPECT_TRUE(node_.Subscribe(*session, "kept/mine", before)->recovered);
  EXPECT_GT(broker_->evicted_messages(), 0u);
  broker_->EvictTo(0);
  EXPECT_EQ(broker_->history_bytes(), 0u);
}

TEST_F(MemoryBrokerTest, EvictsTheLargestFirstWhenTold) {
  ASSERT_TRUE(node_.Publish("kept/small", std::string(1000, 'x')).ok());
  for (int i = 0; i < 10; ++i)
    ASSERT_TRUE(node_.Publish("kept/large", std::string(3000, 'x')).ok());
  const std::uint64_t all = broker_->history_bytes();
  broker_->EvictTo(all / 2);
  EXPECT_LE(broker_->history_bytes(), all / 2);
  EXPECT_GT(broker_->history_bytes(), 0u);
  broker_->EvictTo(0);
  EXPECT_EQ(broker_->history_bytes(), 0u);
}

// G20: names cost memory too. Without that, messages to ever new topics fill a replica with empty logs.
TEST_F(MemoryBrokerTest, G20LogsOfEverNewTopicsKeepTheLimit) {
  const std::string name(200, 'n');
  for (int i = 0; i < 5'000; ++i) {
    ASSERT_TRUE(node_.Publish(fmt::format("kept/{}/{}", i, name), "x").ok());
    ASSERT_LE(broker_->history_bytes(), 100'000u);
  }
  EXPECT_GT(broker_->forgotten_topics(), 4'000u);
  // One that is let go of goes on where it was.
  const auto last = node_.Publish("kept/mine", "1");
  broker_->EvictTo(0);
  EXPECT_EQ(broker_->history_bytes(), 0u);
  EXPECT_TRUE(node_.Read({.topic = "kept/mine", .since = last->position}).complete);
  EXPECT_EQ(node_.Publish("kept/mine", "2")->position.offset, last->position.offset + 1);
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
  const int topics = static_cast<int>(broker_->max_forgotten() / 4);
  for (int i = 0; i < topics; ++i)
    positions.push_back(node_.Publish("kept/" + std::to_string(i), "x")->position);
  broker_->Sweep(absl::Now() + MemoryBroker::kForgotten + absl::Minutes(1));
  EXPECT_EQ(broker_->forgotten_topics(), static_cast<std::uint64_t>(topics));
  EXPECT_EQ(broker_->history_bytes(), 0u);
  for (int i = 0; i < topics; ++i)
    EXPECT_EQ(node_.Read({.topic = "kept/" + std::to_string(i)}).current,
              positions[static_cast<std::size_t>(i)]);
}

class RoomyMemoryBrokerTest : public MemoryBrokerTest {
 protected:
  RoomyMemoryBrokerTest() : MemoryBrokerTest(100'000'000) {}
};

TEST_F(RoomyMemoryBrokerTest, SweepsAPartAtATimeAndAllInTurn) {
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

// Rules that a test may change, as a reload does.
class ChangeRulesTest : public ::testing::Test {
 protected:
  static TopicRules Keeping(std::uint32_t a, std::uint32_t b) {
    return TopicRules({Rule("a", a), Rule("b", b)});
  }
  void Change(const TopicRules& next) {
    node_.broker().ChangeRules(next, [&] { rules_->Replace(next); });
  }
  // What becomes of a client that names `since`.
  FeedStart Resume(const std::string& topic, const Position& since) {
    return *node_.Subscribe(*node_.Add(), topic, since);
  }

  std::shared_ptr<TopicRules> rules_ = std::make_shared<TopicRules>(Keeping(10, 0));
  Node node_{1, {}, Node::MakeMemoryBroker, rules_};
};

TEST_F(ChangeRulesTest, LogsGetTheirNewLimits) {
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(node_.Publish("a", std::to_string(i)).ok());
  Change(Keeping(3, 0));
  EXPECT_THAT(node_.Read({.topic = "a"}).messages, SizeIs(3));
  Change(Keeping(5, 0));
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(node_.Publish("a", std::to_string(i)).ok());
  EXPECT_THAT(node_.Read({.topic = "a"}).messages, SizeIs(5));
}

TEST_F(ChangeRulesTest, ALogThatStaysResumes) {
  const Position at = node_.Publish("a", "1")->position;
  Change(Keeping(10, 10));
  ASSERT_TRUE(node_.Publish("a", "2").ok());
  const FeedStart start = Resume("a", at);
  EXPECT_TRUE(start.recovered);
  EXPECT_THAT(start.missed, SizeIs(1));
}

TEST_F(ChangeRulesTest, WithoutHistoryTheLogIsGoneAndCountsNoBytes) {
  const Position at = node_.Publish("a", "1")->position;
  Change(Keeping(0, 0));
  EXPECT_EQ(node_.broker().history_bytes(), 0u);
  EXPECT_TRUE(node_.Publish("a", "2")->position.empty());
  EXPECT_FALSE(Resume("a", at).recovered);
}

// While it kept none, messages passed that nobody could tell of.
TEST_F(ChangeRulesTest, NoPositionOutlivesATimeWithoutHistory) {
  const Position kept = node_.Publish("a", "1")->position;
  Change(Keeping(0, 0));
  ASSERT_TRUE(node_.Publish("a", "not kept").ok());
  Change(Keeping(10, 0));
  EXPECT_FALSE(Resume("a", kept).recovered);
  ASSERT_TRUE(node_.Publish("a", "2").ok());
  EXPECT_FALSE(Resume("a", kept).recovered);

  // The same for a topic that had a position, and no message in its log.
  const Position quiet = node_.Read({.topic = "a"}).current;
  Change(Keeping(0, 0));
  ASSERT_TRUE(node_.Publish("a", "not kept").ok());
  Change(Keeping(10, 0));
  EXPECT_EQ(Resume("a", quiet).reason, NotRecovered::kEpoch);
}

}  // namespace
}  // namespace herald
