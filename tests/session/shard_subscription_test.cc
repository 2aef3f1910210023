// Sessions on topics: coming, going, and feeds that take their time to answer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <future>
#include <string>
#include <vector>

#include "session/shard.h"
#include "tests/session/node.h"

namespace herald {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(ShardSubscriptionTest, RemovingASessionLeavesItsTopicsAndLetsGoOfIt) {
  Node node;
  auto session = node.Add({}, 0, "alice");
  for (const char* topic : {"a", "b", "c"}) ASSERT_TRUE(node.Subscribe(*session, topic).ok());
  EXPECT_EQ(node.index().Count().topics, 4u);
  RunOn(node.shard(), [&] {
    session->Enqueue(MakeFrame(Opcode::kText, "x"));  // touched
    node.shard().Remove(*session);
    node.shard().Remove(*session);  // again: nothing
    EXPECT_EQ(node.shard().Find(session->id()), nullptr);
  });
  EXPECT_EQ(node.index().Count().topics, 0u);
  std::weak_ptr<RecordingSession> weak = session;
  session.reset();
  node.Settle();
  EXPECT_TRUE(weak.expired());
  EXPECT_EQ(node.shard().stats().sessions, 0u);
  EXPECT_EQ(node.shard().stats().sessions_opened, 1u);
}

TEST(ShardSubscriptionTest, UnsubscribingInAnyOrderKeepsTheListsTogether) {
  Node node;
  std::vector<RecordingSessionPtr> sessions;
  const std::vector<std::string> topics = {"a", "b", "c", "d"};
  for (int i = 0; i < 4; ++i) {
    sessions.push_back(node.Add());
    for (const std::string& topic : topics)
      ASSERT_TRUE(node.Subscribe(*sessions.back(), topic).ok());
  }
  RunOn(node.shard(), [&] {
    for (std::size_t i = 0; i < 4; ++i) {  // each leaves another one
      EXPECT_TRUE(node.shard().Unsubscribe(*sessions[i], topics[(i * 3 + 1) % 4]));
      EXPECT_FALSE(node.shard().Unsubscribe(*sessions[i], topics[(i * 3 + 1) % 4]));
    }
  });
  for (const std::string& topic : topics) ASSERT_TRUE(node.Publish(topic, topic).ok());
  node.Settle();
  for (std::size_t i = 0; i < 4; ++i) {
    std::vector<std::string> got;
    for (const Received& received : node.ReceivedBy(*sessions[i])) got.push_back(received.payload);
    std::vector<std::string> expected = topics;
    expected.erase(expected.begin() + static_cast<std::ptrdiff_t>((i * 3 + 1) % 4));
    EXPECT_EQ(got, expected);
    EXPECT_EQ(RunOn(node.shard(), [&] { return sessions[i]->topic_count(); }), 3u);
  }
}

TEST(ShardSubscriptionTest, SubscribingTwiceIsAnError) {
  Node node;
  auto session = node.Add();
  ASSERT_TRUE(node.Subscribe(*session, "a").ok());
  EXPECT_EQ(node.Subscribe(*session, "a").status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(node.index().Find("a").subscribers, 1u);
}

TEST(ShardSubscriptionTest, RefusesASubscriberTooMany) {
  Node node(2);
  auto one = node.Add({}, 0), two = node.Add({}, 1);
  ASSERT_TRUE(node.Subscribe(*one, "a", {}, 1).ok());
  EXPECT_EQ(node.Subscribe(*two, "a", {}, 1).status().code(), absl::StatusCode::kResourceExhausted);
  RunOn(node.shard(), [&] { node.shard().Remove(*one); });
  EXPECT_TRUE(node.Subscribe(*two, "a", {}, 1).ok());
}

// A feed that answers when it is told to, as one on the other side of a network does.
class SlowFeed final : public TopicFeed {
 public:
  void Subscribe(Shard&, const std::string&, std::optional<Position>, std::uint64_t,
                 SubscribeDone done) override {
    ++subscribers;
    waiting.push_back(std::move(done));
  }
  void Unsubscribe(Shard&, const std::string&) override { --subscribers; }
  void Publish(Publication, PublishDone) override {}
  void AnswerAll() {
    for (auto& done : std::exchange(waiting, {})) done(FeedStart{});
  }

  std::vector<SubscribeDone> waiting;
  int subscribers = 0;
};

class SlowFeedTest : public ::testing::Test {
 protected:
  SlowFeedTest() { shard_.Start(feed_); }
  ~SlowFeedTest() override { shard_.Stop(); }

  SlowFeed feed_;
  Shard shard_{ShardOptions{.node = "n", .encoders = TextEncoders()}};
};

TEST_F(SlowFeedTest, ASessionThatEndsMeanwhileIsUnsubscribed) {
  RunOn(shard_, [&] {
    auto session = std::make_shared<RecordingSession>(shard_, RecordingSession::Options{});
    shard_.Add(session, "");
    shard_.Subscribe(*session, "a", {}, 0, [](absl::StatusOr<FeedStart>) { ADD_FAILURE(); });
    shard_.Remove(*session);
    session.reset();
    feed_.AnswerAll();
    EXPECT_EQ(feed_.subscribers, 0);
    EXPECT_EQ(shard_.FindTopic("a"), nullptr);
  });
}

TEST_F(SlowFeedTest, EverySubscriptionIsAnsweredAndOneCounts) {
  RunOn(shard_, [&] {
    auto session = std::make_shared<RecordingSession>(shard_, RecordingSession::Options{});
    shard_.Add(session, "");
    std::vector<absl::StatusCode> answers;
    for (int i = 0; i < 2; ++i) {
      shard_.Subscribe(*session, "a", {}, 0, [&](absl::StatusOr<FeedStart> start) {
        answers.push_back(start.status().code());
      });
    }
    feed_.AnswerAll();
    EXPECT_THAT(answers, ElementsAre(absl::StatusCode::kOk, absl::StatusCode::kAlreadyExists));
    EXPECT_EQ(feed_.subscribers, 1);
    EXPECT_EQ(session->topic_count(), 1u);
  });
}

}  // namespace
}  // namespace herald
