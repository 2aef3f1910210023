#include "tests/broker/broker_contract.h"

#include <gmock/gmock.h>

#include <atomic>
#include <map>
#include <thread>

#include "session/random.h"

namespace herald {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::shared_ptr<const TopicRules> ContractRules() {
  return std::make_shared<const TopicRules>(
      std::vector<TopicRule>{Rule("kept/**", 100), Rule("small/**", 5),
                             Rule("brief/**", 100, absl::Seconds(1)), Rule("live/**", 0)});
}

std::vector<std::string> Payloads(const std::vector<MessagePtr>& messages) {
  std::vector<std::string> payloads;
  for (const MessagePtr& message : messages) payloads.push_back(message->body().payload);
  return payloads;
}

std::vector<std::string> Payloads(const std::vector<Received>& messages) {
  std::vector<std::string> payloads;
  for (const Received& message : messages) payloads.push_back(message.payload);
  return payloads;
}

std::vector<std::string> Numbers(int first, int last) {
  std::vector<std::string> numbers;
  for (int i = first; i <= last; ++i) numbers.push_back(std::to_string(i));
  return numbers;
}

}  // namespace

BrokerContractTest::BrokerContractTest() : node_(2, {}, GetParam().make, ContractRules()) {}

std::string BrokerContractTest::NewTopic(std::string_view kind) {
  return fmt::format("{}/{:016x}", kind, RandomUint64());
}

std::vector<Position> BrokerContractTest::PublishMany(const std::string& topic, int count,
                                                      int first) {
  std::vector<Position> positions;
  for (int i = 0; i < count; ++i) {
    const auto published = node_.Publish(topic, std::to_string(first + i));
    EXPECT_TRUE(published.ok()) << published.status();
    if (published.ok()) positions.push_back(published->position);
  }
  return positions;
}

TEST_P(BrokerContractTest, SubscribersOfAllShardsSeeOneOrderThatOfTheOffsets) {
  const std::string topic = NewTopic();
  auto one = node_.Add({}, 0), two = node_.Add({}, 1);
  ASSERT_TRUE(node_.Subscribe(*one, topic).ok());
  ASSERT_TRUE(node_.Subscribe(*two, topic).ok());
  PublishMany(topic, 50);
  ASSERT_TRUE(node_.WaitReceived(*one, 50));
  ASSERT_TRUE(node_.WaitReceived(*two, 50));
  const auto received = node_.ReceivedBy(*one);
  EXPECT_EQ(Payloads(received), Numbers(1, 50));
  for (std::size_t i = 1; i < received.size(); ++i)
    EXPECT_EQ(received[i].offset, received[i - 1].offset + 1);
  EXPECT_EQ(node_.ReceivedBy(*two), received);
}

TEST_P(BrokerContractTest, PublicationsOfOneThreadKeepTheirOrderWithoutWaitingForAnswers) {
  const std::string topic = NewTopic();
  auto session = node_.Add();
  ASSERT_TRUE(node_.Subscribe(*session, topic).ok());
  std::atomic<int> answered{0};
  for (int i = 1; i <= 500; ++i) {
    node_.broker().Publish(
        {Body(std::to_string(i)), topic, nullptr, nullptr, true},
        [&](absl::StatusOr<Published> published) { answered += published.ok() ? 1 : 1000; });
  }
  ASSERT_TRUE(Eventually([&] { return answered >= 500; }));
  EXPECT_EQ(answered, 500);
  ASSERT_TRUE(node_.WaitReceived(*session, 500));
  EXPECT_EQ(Payloads(node_.ReceivedBy(*session)), Numbers(1, 500));
}

TEST_P(BrokerContractTest, PositionsGrowWithinOneEpoch) {
  const auto positions = PublishMany(NewTopic(), 10);
  ASSERT_THAT(positions, SizeIs(10));
  for (std::size_t i = 1; i < positions.size(); ++i) {
    EXPECT_EQ(positions[i].epoch, positions[0].epoch);
    EXPECT_GT(positions[i].offset, positions[i - 1].offset);
    EXPECT_NE(positions[i].fence, positions[i - 1].fence);
  }
}

TEST_P(BrokerContractTest, APublishTellsHowManyMatched) {
  const std::string topic = NewTopic();
  EXPECT_EQ(node_.Publish(topic, "x")->matched, 0u);
  auto one = node_.Add({}, 0), two = node_.Add({}, 1);
  ASSERT_TRUE(node_.Subscribe(*one, topic).ok());
  ASSERT_TRUE(node_.Subscribe(*two, topic).ok());
  EXPECT_EQ(node_.Publish(topic, "x")->matched, 2u);
}

TEST_P(BrokerContractTest, ATallyGathersWhatTheShardsMet) {
  const std::string topic = NewTopic();
  auto one = node_.Add({}, 0), two = node_.Add({}, 1);
  ASSERT_TRUE(node_.Subscribe(*one, topic).ok());
  ASSERT_TRUE(node_.Subscribe(*two, topic).ok());
  auto except = std::make_shared<Exceptions>();
  except->sessions.insert(one->id());
  Awaited<std::uint64_t> met;
  ASSERT_TRUE(
      node_.Publish({Body("x"), topic, except, std::make_shared<Tally>(met.callback()), true})
          .ok());
  EXPECT_EQ(met.Get(), 1u);
  EXPECT_THAT(node_.ReceivedBy(*one), IsEmpty());
  EXPECT_THAT(node_.ReceivedBy(*two), SizeIs(1));
}

TEST_P(BrokerContractTest, ASubscriptionBeginsAtTheNewestPosition) {
  const std::string topic = NewTopic();
  auto session = node_.Add();
  const auto positions = PublishMany(topic, 3);
  const auto start = node_.Subscribe(*session, topic);
  ASSERT_TRUE(start.ok());
  EXPECT_EQ(start->position, positions.back());
  EXPECT_THAT(start->missed, IsEmpty());
  EXPECT_FALSE(start->recovered);
  EXPECT_EQ(start->reason, NotRecovered::kNone);
}

TEST_P(BrokerContractTest, RecoversExactlyWhatFollowedThePosition) {
  const std::string topic = NewTopic();
  const auto positions = PublishMany(topic, 20);
  for (int from : {1, 10, 19, 20}) {
    auto session = node_.Add();
    const auto start =
        node_.Subscribe(*session, topic, positions[static_cast<std::size_t>(from - 1)]);
    ASSERT_TRUE(start.ok());
    EXPECT_TRUE(start->recovered);
    EXPECT_EQ(start->reason, NotRecovered::kNone);
    EXPECT_EQ(start->position, positions.back());
    EXPECT_EQ(Payloads(start->missed), Numbers(from + 1, 20));
    for (const MessagePtr& message : start->missed) EXPECT_EQ(message->topic(), topic);
  }
}

// The position a subscriber of a topic without messages was given.
TEST_P(BrokerContractTest, RecoversFromBeforeTheFirstMessage) {
  const std::string topic = NewTopic();
  auto early = node_.Add(), late = node_.Add();
  const auto start = node_.Subscribe(*early, topic);
  ASSERT_TRUE(start.ok());
  ASSERT_FALSE(start->position.empty());
  PublishMany(topic, 3);
  const auto recovered = node_.Subscribe(*late, topic, start->position);
  ASSERT_TRUE(recovered.ok());
  EXPECT_TRUE(recovered->recovered);
  EXPECT_EQ(Payloads(recovered->missed), Numbers(1, 3));
}

TEST_P(BrokerContractTest, SaysThatALogOfAnotherEpochCannotBeResumed) {
  const std::string topic = NewTopic();
  auto session = node_.Add();
  const auto positions = PublishMany(topic, 3);
  Position other = positions[0];
  other.epoch ^= 2;
  const auto start = node_.Subscribe(*session, topic, other);
  ASSERT_TRUE(start.ok());
  EXPECT_FALSE(start->recovered);
  EXPECT_EQ(start->reason, NotRecovered::kEpoch);
  EXPECT_THAT(start->missed, IsEmpty());
  EXPECT_EQ(start->position, positions.back());
}

TEST_P(BrokerContractTest, SaysThatALogWentBackInTime) {
  const std::string topic = NewTopic();
  const auto positions = PublishMany(topic, 3);
  Position ahead = positions[2];
  ahead.offset += 5;
  Position reused = positions[1];  // the offset was given again, to another message
  reused.fence += 1;
  for (const Position& since : {ahead, reused}) {
    auto session = node_.Add();
    const auto start = node_.Subscribe(*session, topic, since);
    ASSERT_TRUE(start.ok());
    EXPECT_FALSE(start->recovered);
    EXPECT_EQ(start->reason, NotRecovered::kRollback);
    EXPECT_THAT(start->missed, IsEmpty());
    EXPECT_EQ(start->position, positions.back());
  }
}

TEST_P(BrokerContractTest, KeepsAsManyMessagesAsTheRuleSays) {
  const std::string topic = NewTopic("small");
  const auto positions = PublishMany(topic, 12);
  EXPECT_EQ(Payloads(node_.Read({.topic = topic}).messages), Numbers(8, 12));
  auto last = node_.Add(), gone = node_.Add();
  // The newest one that is gone is still a place in the log.
  const auto whole = node_.Subscribe(*last, topic, positions[6]);
  EXPECT_TRUE(whole->recovered);
  EXPECT_EQ(Payloads(whole->missed), Numbers(8, 12));
  const auto start = node_.Subscribe(*gone, topic, positions[5]);
  EXPECT_FALSE(start->recovered);
  EXPECT_EQ(start->reason, NotRecovered::kExpired);
  EXPECT_THAT(start->missed, IsEmpty());
}

TEST_P(BrokerContractTest, KeepsMessagesAsLongAsTheRuleSays) {
  const std::string topic = NewTopic("brief");
  const auto positions = PublishMany(topic, 3);
  ASSERT_TRUE(Eventually([&] { return node_.Read({.topic = topic}).messages.empty(); }));
  EXPECT_EQ(node_.Read({.topic = topic}).current, positions.back());
  auto current = node_.Add(), gone = node_.Add();
  EXPECT_TRUE(node_.Subscribe(*current, topic, positions[2])->recovered);  // nothing followed
  const auto start = node_.Subscribe(*gone, topic, positions[0]);
  EXPECT_FALSE(start->recovered);
  EXPECT_EQ(start->reason, NotRecovered::kExpired);
  EXPECT_GT(PublishMany(topic, 1)[0].offset, positions.back().offset);
}

TEST_P(BrokerContractTest, ATopicWithoutHistoryHasNoPositions) {
  const std::string topic = NewTopic("live");
  auto session = node_.Add();
  const auto start = node_.Subscribe(*session, topic);
  ASSERT_TRUE(start.ok());
  EXPECT_TRUE(start->position.empty());
  const auto published = node_.Publish(topic, "x");
  ASSERT_TRUE(published.ok());
  EXPECT_TRUE(published->position.empty());
  ASSERT_TRUE(node_.WaitReceived(*session, 1));
  EXPECT_EQ(node_.ReceivedBy(*session)[0], (Received{topic, 0, "x"}));
  const auto read = node_.Read({.topic = topic});
  EXPECT_THAT(read.messages, IsEmpty());
  EXPECT_TRUE(read.current.empty());
}

TEST_P(BrokerContractTest, ATopicWithoutHistoryRecoversNothing) {
  const std::string topic = NewTopic("live");
  auto session = node_.Add();
  const auto start = node_.Subscribe(*session, topic, Position{1, 2, 3});
  ASSERT_TRUE(start.ok());
  EXPECT_FALSE(start->recovered);
  EXPECT_NE(start->reason, NotRecovered::kNone);
}

TEST_P(BrokerContractTest, ALiveOnlyPublicationGetsNoPositionAndIsNotKept) {
  const std::string topic = NewTopic();
  auto session = node_.Add();
  ASSERT_TRUE(node_.Subscribe(*session, topic).ok());
  PublishMany(topic, 1);
  const auto published = node_.Publish(topic, "live", /*keep=*/false);
  ASSERT_TRUE(published.ok());
  EXPECT_TRUE(published->position.empty());
  PublishMany(topic, 1, 2);
  ASSERT_TRUE(node_.WaitReceived(*session, 3));
  std::vector<std::string> kept;
  for (const Received& received : node_.ReceivedBy(*session)) {
    if (received.payload == "live") {
      EXPECT_EQ(received.offset, 0u);
    } else {
      kept.push_back(received.payload);
    }
  }
  EXPECT_THAT(kept, ElementsAre("1", "2"));
  EXPECT_EQ(Payloads(node_.Read({.topic = topic}).messages), Numbers(1, 2));
}

TEST_P(BrokerContractTest, RefusesMoreSubscribersThanATopicMayHave) {
  const std::string topic = NewTopic();
  auto one = node_.Add({}, 0), two = node_.Add({}, 1), three = node_.Add({}, 0);
  ASSERT_TRUE(node_.Subscribe(*one, topic, {}, 2).ok());
  ASSERT_TRUE(node_.Subscribe(*two, topic, {}, 2).ok());
  EXPECT_EQ(node_.Subscribe(*three, topic, {}, 2).status().code(),
            absl::StatusCode::kResourceExhausted);
  RunOn(node_.shard(1), [&] { node_.shard(1).Unsubscribe(*two, topic); });
  EXPECT_TRUE(node_.Subscribe(*three, topic, {}, 2).ok());
}

TEST_P(BrokerContractTest, NothingComesAfterUnsubscribing) {
  const std::string topic = NewTopic();
  auto gone = node_.Add(), stays = node_.Add();
  ASSERT_TRUE(node_.Subscribe(*gone, topic).ok());
  ASSERT_TRUE(node_.Subscribe(*stays, topic).ok());
  RunOn(node_.shard(), [&] { node_.shard().Unsubscribe(*gone, topic); });
  PublishMany(topic, 1);
  ASSERT_TRUE(node_.WaitReceived(*stays, 1));
  EXPECT_THAT(node_.ReceivedBy(*gone), IsEmpty());
}

TEST_P(BrokerContractTest, ReadsForward) {
  const std::string topic = NewTopic();
  const auto positions = PublishMany(topic, 10);
  const auto all = node_.Read({.topic = topic});
  EXPECT_EQ(Payloads(all.messages), Numbers(1, 10));
  EXPECT_EQ(all.current, positions.back());
  EXPECT_TRUE(all.complete);
  for (std::size_t i = 0; i < 10; ++i) EXPECT_EQ(all.messages[i]->position(), positions[i]);
  EXPECT_EQ(Payloads(node_.Read({.topic = topic, .limit = 3}).messages), Numbers(1, 3));
  EXPECT_EQ(Payloads(node_.Read({.topic = topic, .since = positions[6], .limit = 2}).messages),
            Numbers(8, 9));
  EXPECT_THAT(node_.Read({.topic = topic, .since = positions[9]}).messages, IsEmpty());
}

TEST_P(BrokerContractTest, ReadsInReverse) {
  const std::string topic = NewTopic();
  const auto positions = PublishMany(topic, 5);
  EXPECT_THAT(Payloads(node_.Read({.topic = topic, .limit = 2, .reverse = true}).messages),
              ElementsAre("5", "4"));
  EXPECT_THAT(
      Payloads(node_.Read({.topic = topic, .since = positions[2], .reverse = true}).messages),
      ElementsAre("5", "4"));
}

TEST_P(BrokerContractTest, ReadSaysWhenItsStartIsGone) {
  const std::string topic = NewTopic("small");
  const auto positions = PublishMany(topic, 10);
  const auto read = node_.Read({.topic = topic, .since = positions[0]});
  EXPECT_FALSE(read.complete);
  EXPECT_EQ(Payloads(read.messages), Numbers(6, 10));
  Position other = positions[9];
  other.epoch ^= 2;
  EXPECT_FALSE(node_.Read({.topic = topic, .since = other}).complete);
}

TEST_P(BrokerContractTest, ReadsNothingOfATopicNobodyUsed) {
  const auto read = node_.Read({.topic = NewTopic()});
  EXPECT_THAT(read.messages, IsEmpty());
  EXPECT_TRUE(read.complete);
}

// Sessions subscribe, from now or from a position, while others publish: what was missed and what
// comes live is everything behind the position, once and in order.
TEST_P(BrokerContractTest, SubscribingIsAtomicUnderConcurrentPublishing) {
  const std::string topic = NewTopic();
  constexpr int kPublishers = 2, kMessages = 1500;
  std::atomic<int> answered{0};
  std::atomic<int> subscribed{0};
  std::vector<std::jthread> publishers;
  for (int p = 0; p < kPublishers; ++p) {
    publishers.emplace_back([&] {
      for (int i = 0; i < kMessages; ++i) {
        node_.broker().Publish(
            {Body("x"), topic, nullptr, nullptr, true},
            [&](absl::StatusOr<Published> published) { answered += published.ok() ? 1 : 100'000; });
        // Not so far ahead of the subscribers that the log has lost what the next one resumes from.
        while (i > 20 * (subscribed + 1)) std::this_thread::yield();
      }
    });
  }
  struct Subscriber {
    RecordingSessionPtr session;
    std::uint64_t after;  // everything behind this offset is promised
  };
  std::vector<Subscriber> subscribers;
  Position last;
  int recovered = 0;
  while (answered < kPublishers * kMessages && subscribers.size() < 400) {
    auto session = node_.Add({}, static_cast<int>(subscribers.size() % 2));
    const std::optional<Position> since = last.empty() ? std::nullopt : std::optional(last);
    const auto start = node_.Subscribe(*session, topic, since);
    ASSERT_TRUE(start.ok());
    recovered += start->recovered ? 1 : 0;
    subscribers.push_back({session, start->recovered ? since->offset : start->position.offset});
    last = start->position;
    ++subscribed;
  }
  publishers.clear();
  ASSERT_TRUE(Eventually([&] { return answered >= kPublishers * kMessages; }));
  ASSERT_EQ(answered, kPublishers * kMessages);
  EXPECT_GT(recovered, 0);
  const std::uint64_t end = node_.Read({.topic = topic}).current.offset;
  for (const Subscriber& subscriber : subscribers) {
    ASSERT_TRUE(node_.WaitReceived(*subscriber.session, end - subscriber.after));
    std::uint64_t next = subscriber.after;
    for (const Received& received : node_.ReceivedBy(*subscriber.session))
      ASSERT_EQ(received.offset, ++next);
    ASSERT_EQ(next, end);
  }
}

}  // namespace herald
