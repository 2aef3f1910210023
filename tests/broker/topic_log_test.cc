#include "broker/topic_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace herald {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const absl::Time kStart = absl::FromUnixSeconds(1'800'000'000);

class TopicLogTest : public ::testing::Test {
 protected:
  // Appends a message accepted `after` the start; returns its position.
  Position Append(std::string payload, absl::Duration after = absl::ZeroDuration()) {
    auto body = std::make_shared<MessageBody>();
    body->payload = std::move(payload);
    body->accepted_unix_ms = absl::ToUnixMillis(kStart + after);
    const Position position = log_.Next();
    log_.Append(std::make_shared<const Message>(body, "t", position), kStart + after);
    return position;
  }

  std::vector<std::string> Payloads(const std::vector<MessagePtr>& messages) {
    std::vector<std::string> payloads;
    for (const MessagePtr& message : messages) payloads.push_back(message->body().payload);
    return payloads;
  }
  std::vector<std::string> All(absl::Time now = kStart) {
    return Payloads(log_.Read({}, 100, false, now));
  }

  TopicLog log_{{7, 0, 70}, 3, absl::Seconds(10)};
};

TEST_F(TopicLogTest, BeginsBeforeItsFirstMessage) {
  EXPECT_EQ(log_.current().epoch, 7u);
  EXPECT_EQ(log_.current().offset, 0u);
  EXPECT_TRUE(log_.empty());
  EXPECT_EQ(log_.bytes(), 0u);
  const auto missed = log_.After(log_.current(), kStart);
  EXPECT_EQ(missed.reason, NotRecovered::kNone);
  EXPECT_THAT(missed.messages, IsEmpty());
}

TEST_F(TopicLogTest, NumbersFromOneWithANewFenceEach) {
  const Position one = Append("1"), two = Append("2");
  EXPECT_EQ(one.offset, 1u);
  EXPECT_EQ(two.offset, 2u);
  EXPECT_NE(one.fence, two.fence);
  EXPECT_EQ(log_.current(), two);
}

TEST_F(TopicLogTest, KeepsTheLastMessages) {
  for (const char* text : {"1", "2", "3", "4", "5"}) Append(text);
  EXPECT_THAT(All(), ElementsAre("3", "4", "5"));
}

TEST_F(TopicLogTest, KeepsMessagesForTheirTime) {
  Append("1");
  Append("2", absl::Seconds(6));
  EXPECT_THAT(All(kStart + absl::Seconds(10)), ElementsAre("1", "2"));
  EXPECT_THAT(All(kStart + absl::Seconds(10) + absl::Milliseconds(1)), ElementsAre("2"));
  EXPECT_THAT(All(kStart + absl::Seconds(17)), IsEmpty());
  EXPECT_EQ(log_.bytes(), 0u);
  EXPECT_EQ(log_.current().offset, 2u);
}

TEST_F(TopicLogTest, KeepsForEverIfTheTimeIsInfinite) {
  TopicLog log({1, 0, 10}, 3, absl::InfiniteDuration());
  auto body = std::make_shared<MessageBody>();
  log.Append(std::make_shared<const Message>(body, "t", log.Next()), kStart);
  log.Expire(kStart + absl::Hours(1'000'000));
  EXPECT_FALSE(log.empty());
}

TEST_F(TopicLogTest, TellsExactlyWhatFollows) {
  const Position before = log_.current(), one = Append("1"), two = Append("2"), three = Append("3");
  EXPECT_THAT(Payloads(log_.After(before, kStart).messages), ElementsAre("1", "2", "3"));
  EXPECT_THAT(Payloads(log_.After(one, kStart).messages), ElementsAre("2", "3"));
  EXPECT_THAT(Payloads(log_.After(two, kStart).messages), ElementsAre("3"));
  EXPECT_THAT(log_.After(three, kStart).messages, IsEmpty());
}

TEST_F(TopicLogTest, TheLastMessageThatWentIsStillAPlaceInIt) {
  const Position one = Append("1"), two = Append("2");
  for (const char* text : {"3", "4", "5"}) Append(text);
  EXPECT_EQ(log_.After(one, kStart).reason, NotRecovered::kExpired);
  EXPECT_EQ(log_.After(two, kStart).reason, NotRecovered::kNone);
  EXPECT_THAT(Payloads(log_.After(two, kStart).messages), ElementsAre("3", "4", "5"));
  Position other = two;
  ++other.fence;
  EXPECT_EQ(log_.After(other, kStart).reason, NotRecovered::kRollback);
}

TEST_F(TopicLogTest, SaysWhyItCannotTell) {
  const Position one = Append("1");
  Append("2");
  const auto reason = [&](Position position) {
    const auto missed = log_.After(position, kStart);
    EXPECT_THAT(missed.messages, IsEmpty());
    return missed.reason;
  };
  EXPECT_EQ(reason({8, one.offset, one.fence}), NotRecovered::kEpoch);
  EXPECT_EQ(reason({7, 3, one.fence}), NotRecovered::kRollback);
  EXPECT_EQ(reason({7, ~0ull, one.fence}), NotRecovered::kRollback);
  EXPECT_EQ(reason({7, 1, one.fence + 1}), NotRecovered::kRollback);
  EXPECT_EQ(reason({7, 0, 12345}), NotRecovered::kRollback);
}

TEST_F(TopicLogTest, ReadsWhatItHasFromWhereverItIsAsked) {
  const Position one = Append("1"), two = Append("2");
  Append("3");
  Append("4");
  EXPECT_THAT(Payloads(log_.Read(two, 100, false, kStart)), ElementsAre("3", "4"));
  EXPECT_THAT(Payloads(log_.Read(one, 100, false, kStart)),
              ElementsAre("2", "3", "4"));  // `one` is gone
  EXPECT_THAT(Payloads(log_.Read({}, 2, false, kStart)), ElementsAre("2", "3"));
  EXPECT_THAT(Payloads(log_.Read({}, 2, true, kStart)), ElementsAre("4", "3"));
  EXPECT_THAT(Payloads(log_.Read(Position{7, 99, 0}, 2, false, kStart)), IsEmpty());
  EXPECT_THAT(Payloads(log_.Read(Position{8, 3, 0}, 100, false, kStart)),
              ElementsAre("2", "3", "4"));
  EXPECT_THAT(log_.Read({}, 0, false, kStart), IsEmpty());
}

TEST_F(TopicLogTest, CountsItsBytes) {
  Append("1");
  const std::size_t one = log_.bytes();
  Append("2");
  EXPECT_EQ(log_.bytes(), 2 * one);
  log_.PopOldest();
  EXPECT_EQ(log_.bytes(), one);
  log_.PopOldest();
  EXPECT_EQ(log_.bytes(), 0u);
}

}  // namespace
}  // namespace herald
