#include "session/presence_news.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/session/node.h"

namespace herald {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr auto kTopic = "room";

// A room with a listener. The clock stands still unless a test moves it.
class PresenceNewsTest : public ::testing::Test {
 protected:
  void Start(PresenceNews::Options options) {
    news_ = std::make_unique<PresenceNews>(node_.shards(), node_.index(), options);
    listener_ = node_.Add({}, 0, "listener");
    ASSERT_TRUE(node_.Subscribe(*listener_, kTopic).ok());
  }
  RecordingSessionPtr User(const std::string& name) { return node_.Add({}, 1, name); }
  void Join(const RecordingSessionPtr& session) { news_->Joined(*session, kTopic, now_); }
  void Leave(const RecordingSessionPtr& session,
             PresenceNews::Leave how = PresenceNews::Leave::kMayReturn) {
    news_->Left(*session, kTopic, how, now_);
  }
  void Pass(std::int64_t ns) {
    now_ += ns;
    news_->Advance(now_);
  }
  // What the listener has heard since the last call.
  std::vector<std::string> Heard() {
    node_.Settle();
    std::vector<std::string> heard;
    const auto received = node_.ReceivedBy(*listener_);
    for (; heard_ < received.size(); ++heard_) heard.push_back(received[heard_].payload);
    return heard;
  }

  Node node_{2};
  std::unique_ptr<PresenceNews> news_;
  RecordingSessionPtr listener_;
  std::int64_t now_ = 1000 * kSecond;
  std::size_t heard_ = 0;
};

TEST_F(PresenceNewsTest, AUserJoinsOnceAndLeavesOnce) {
  Start({absl::Seconds(5), 0});
  const auto one = User("alice"), two = User("alice");
  Join(one);
  Join(two);
  EXPECT_THAT(Heard(), ElementsAre("join:alice"));
  Leave(one);
  Pass(10 * kSecond);
  EXPECT_THAT(Heard(), IsEmpty());
  Leave(two);
  EXPECT_THAT(Heard(), IsEmpty()) << "in the grace";
  Pass(4 * kSecond);
  EXPECT_THAT(Heard(), IsEmpty());
  Pass(kSecond);
  EXPECT_THAT(Heard(), ElementsAre("leave:alice"));
}

TEST_F(PresenceNewsTest, G15LeavingAndJoiningInTheGraceIsNoNews) {
  Start({absl::Seconds(5), 0});
  const auto alice = User("alice");
  Join(alice);
  EXPECT_THAT(Heard(), ElementsAre("join:alice"));
  for (int i = 0; i < 1000; ++i) {
    Leave(alice);
    Pass(kSecond / 50);
    Join(alice);
  }
  EXPECT_THAT(Heard(), IsEmpty());
  EXPECT_EQ(news_->counts().sent, 1u);
  EXPECT_EQ(news_->counts().unsent, 1000u);
  Leave(alice);
  // The first leave of the thousand is due by now, the last one is not.
  Pass(4 * kSecond);
  EXPECT_THAT(Heard(), IsEmpty());
  Pass(6 * kSecond);
  EXPECT_THAT(Heard(), ElementsAre("leave:alice"));
}

TEST_F(PresenceNewsTest, ALeaveForGoodIsToldAtOnce) {
  Start({absl::Seconds(5), 0});
  const auto alice = User("alice"), nobody = User("");
  Join(alice);
  Join(nobody);
  Leave(alice, PresenceNews::Leave::kForGood);
  Leave(nobody, PresenceNews::Leave::kForGood);
  EXPECT_THAT(Heard(), ElementsAre("join:alice", "join:", "leave:alice", "leave:"));
  Pass(10 * kSecond);
  EXPECT_THAT(Heard(), IsEmpty());
}

TEST_F(PresenceNewsTest, WithoutAGraceLeavesAreToldAtOnce) {
  Start({absl::ZeroDuration(), 0});
  const auto alice = User("alice");
  Join(alice);
  Leave(alice);
  EXPECT_THAT(Heard(), ElementsAre("join:alice", "leave:alice"));
}

// One subscriber makes one frame of each news: three at once, then three a second.
TEST_F(PresenceNewsTest, G15PastTheBudgetNewsWaitAndAreNotLost) {
  Start({absl::Seconds(5), 3});
  std::vector<RecordingSessionPtr> users;
  for (int i = 0; i < 8; ++i) {
    users.push_back(User("u" + std::to_string(i)));
    Join(users.back());
  }
  EXPECT_THAT(Heard(), ElementsAre("join:u0", "join:u1", "join:u2"));
  Pass(kSecond);
  EXPECT_THAT(Heard(), ElementsAre("join:u3", "join:u4", "join:u5"));
  Pass(kSecond);
  EXPECT_THAT(Heard(), ElementsAre("join:u6", "join:u7"));
  EXPECT_EQ(news_->counts().delayed, 5u);
}

TEST_F(PresenceNewsTest, G15UsersThatComeAndGoWhileTheyWaitAreNoNews) {
  Start({absl::ZeroDuration(), 3});
  const auto first = User("first");
  for (int i = 0; i < 3; ++i) {
    Join(first);
    Leave(first);
  }
  EXPECT_THAT(Heard(), ElementsAre("join:first", "leave:first", "join:first"));
  std::vector<RecordingSessionPtr> users;
  for (int i = 0; i < 5000; ++i) {
    const auto guest = User("");
    Join(guest);
    Leave(guest, PresenceNews::Leave::kForGood);
  }
  const auto last = User("last");
  Join(last);
  Pass(kSecond);
  EXPECT_THAT(Heard(), ElementsAre("leave:first", "join:last"));
}

// More subscribers than the budget has frames: fewer news, but some.
TEST_F(PresenceNewsTest, G15ATopicLargerThanTheBudgetStillHasNews) {
  Start({absl::ZeroDuration(), 3});
  for (int i = 0; i < 9; ++i) ASSERT_TRUE(node_.Subscribe(*User(""), kTopic).ok());
  std::vector<RecordingSessionPtr> users;
  for (int i = 0; i < 4; ++i) {
    users.push_back(User("u" + std::to_string(i)));
    Join(users.back());
  }
  EXPECT_THAT(Heard(), ElementsAre("join:u0"));
  for (int i = 0; i < 12; ++i) Pass(kSecond);
  EXPECT_THAT(Heard(), ElementsAre("join:u1", "join:u2", "join:u3"));
}

// Also with many entries the end of a grace is found without looking at them all.
TEST_F(PresenceNewsTest, EachUserInTheGraceIsToldInTurn) {
  Start({absl::Seconds(5), 0});
  std::vector<RecordingSessionPtr> users;
  for (int i = 0; i < 100; ++i) {
    users.push_back(User("u" + std::to_string(i)));
    Join(users.back());
  }
  EXPECT_THAT(Heard(), SizeIs(100));
  for (int i = 0; i < 100; ++i) {
    Leave(users[static_cast<std::size_t>(i)]);
    now_ += kSecond / 100;
  }
  Join(users[7]);
  now_ += 4 * kSecond;
  Pass(kSecond / 2 - 1);  // of those that left first, half are due
  EXPECT_THAT(Heard(), SizeIs(49));
  Pass(kSecond);
  EXPECT_THAT(Heard(), SizeIs(50));
}

}  // namespace
}  // namespace herald
