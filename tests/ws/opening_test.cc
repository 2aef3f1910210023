// Sessions whose topics answer late, as over a network: what the client sees of it, and what happens
// meanwhile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/ws/server.h"
#include "tests/ws/wire.h"

namespace herald {
namespace {

using ::testing::EndsWith;
using ::testing::StartsWith;

// A memory broker that holds back the answers for the topic that all sessions are on.
class LateBroker final : public Broker {
 public:
  explicit LateBroker(std::unique_ptr<Broker> broker) : broker_(std::move(broker)) {}

  void Subscribe(Shard& shard, const std::string& topic, std::optional<Position> since,
                 std::uint64_t max_subscribers, SubscribeDone done) override {
    if (topic == kBroadcastTopic) {
      done = [this, &shard, done = std::move(done)](absl::StatusOr<FeedStart> start) mutable {
        const std::lock_guard lock(mutex_);
        held_.emplace_back([&shard, done = std::move(done), start = std::move(start)]() mutable {
          shard.Post([done = std::move(done), start = std::move(start)]() mutable {
            done(std::move(start));
          });
        });
      };
    }
    broker_->Subscribe(shard, topic, since, max_subscribers, std::move(done));
  }
  void Unsubscribe(Shard& shard, const std::string& topic) override {
    broker_->Unsubscribe(shard, topic);
  }
  void Publish(Publication publication, PublishDone done) override {
    broker_->Publish(std::move(publication), std::move(done));
  }
  void Read(ReadRequest request, ReadDone done) override {
    broker_->Read(std::move(request), std::move(done));
  }
  bool HasHistory(std::string_view topic) const override { return broker_->HasHistory(topic); }
  std::string_view name() const override { return "late"; }
  std::uint64_t history_bytes() const override { return 0; }
  std::uint64_t evicted_messages() const override { return 0; }
  std::uint64_t forgotten_topics() const override { return 0; }
  void EverySecond(absl::Time now) override { broker_->EverySecond(now); }

  std::size_t held() {
    const std::lock_guard lock(mutex_);
    return held_.size();
  }
  void Answer() {
    const std::lock_guard lock(mutex_);
    for (auto& answer : held_) answer();
    held_.clear();
  }

 private:
  const std::unique_ptr<Broker> broker_;
  std::mutex mutex_;
  std::vector<absl::AnyInvocable<void()>> held_;
};

class OpeningTest : public ::testing::Test {
 protected:
  explicit OpeningTest(FrontEndOptions options = DevOptions())
      : server_(std::move(options), nullptr, nullptr, nullptr,
                [this](auto& shards, auto& index, auto rules) {
                  auto late = std::make_unique<LateBroker>(
                      Node::MakeMemoryBroker(shards, index, std::move(rules)));
                  broker_ = late.get();
                  return late;
                }) {}

  // What a raw client is closed with that is not on its topics yet.
  int CloseCodeOf(RawSocket socket) {
    EXPECT_THAT(socket.ReadUntil("\r\n\r\n"), StartsWith("HTTP/1.1 101"));
    const ServerFrameBytes close = ReadCloseFrame(socket);
    EXPECT_TRUE(socket.Send(ClientFrame(0x88, close.payload)));
    EXPECT_EQ(socket.ReadExactly(1), "");
    return close.close_code();
  }
  // The answer comes when nobody waits for it any more.
  void AnswerTooLate() {
    EXPECT_TRUE(server_.WaitEmpty());
    broker_->Answer();
    server_.node().Settle();
  }
  // Asks for the upgrade, and waits until the session waits for its topics.
  RawSocket Ask(const std::string& subprotocol, const std::string& target) {
    RawSocket socket(server_.port());
    EXPECT_TRUE(socket.Send(UpgradeText(subprotocol, target)));
    if (!subprotocol.empty()) {
      EXPECT_THAT(socket.ReadUntil("\r\n\r\n"), StartsWith("HTTP/1.1 101"));
      EXPECT_TRUE(socket.Send(ClientFrame(0x81, R"({"connect":{}})")));
    }
    EXPECT_TRUE(Eventually([&] { return broker_->held() == 1; }));
    return socket;
  }
  void Publish(const std::string& payload) {
    const absl::StatusOr<Published> published = server_.node().Publish("news", payload);
    ASSERT_TRUE(published.ok()) << published.status();
    EXPECT_EQ(published->matched, 1u);
    server_.node().Settle();
  }
  void CloseAll(CloseCode code) {
    Awaited<std::uint64_t> matched;
    server_.node().table().ForEach(
        {ToAll{}, nullptr}, [code](Session& session) { session.Close({code, "", {}}); },
        matched.callback());
    EXPECT_EQ(matched.Get(), 1u);
  }

  LateBroker* broker_ = nullptr;
  Server server_;
};

TEST_F(OpeningTest, WhatComesMeanwhileFollowsTheHello) {
  RawSocket socket = Ask("herald.v1.json", "/ws?topics=news");
  Publish("one");
  broker_->Answer();
  EXPECT_THAT(ReadFrame(socket).payload, StartsWith(R"({"hello":)"));
  EXPECT_THAT(ReadFrame(socket).payload, EndsWith(R"("text":"one"}})"));
}

TEST_F(OpeningTest, WhatComesMeanwhileFollowsTheUpgradeOfARawClient) {
  RawSocket socket = Ask("", "/ws?topics=news");
  Publish("one");
  Publish("two");
  broker_->Answer();
  EXPECT_THAT(socket.ReadUntil("\r\n\r\n"), StartsWith("HTTP/1.1 101"));
  EXPECT_EQ(ReadFrame(socket).payload, "one");
  EXPECT_EQ(ReadFrame(socket).payload, "two");
  ASSERT_TRUE(socket.Send(ClientFrame(0x81, "up")));
  const EventPtr event = server_.NextEvent(EventKind::kClientMessage);
  ASSERT_NE(event, nullptr);
  EXPECT_EQ(event->payload, "up");
}

TEST_F(OpeningTest, ARawClientIsUpgradedToBeClosed) {
  RawSocket socket = Ask("", "/ws?topics=news");
  Publish("one");
  CloseAll(CloseCode::kRestart);
  EXPECT_EQ(CloseCodeOf(std::move(socket)), 1012);
  AnswerTooLate();
}

class ShortOpeningTest : public OpeningTest {
 protected:
  static FrontEndOptions Options() {
    FrontEndOptions options = DevOptions();
    options.limits.connect_timeout = absl::Milliseconds(100);
    return options;
  }
  ShortOpeningTest() : OpeningTest(Options()) {}
};

TEST_F(ShortOpeningTest, ARawClientIsNotKeptWaitingForItsUpgrade) {
  EXPECT_EQ(CloseCodeOf(Ask("", "/ws?topics=news")), 1013);
  AnswerTooLate();
}

TEST(RefusedOpeningTest, ARawClientIsUpgradedAndToldWhy) {
  FrontEndOptions options = DevOptions();
  options.limits.max_sessions_per_user = 1;
  Server server(std::move(options));
  const WsClient::Options alice{.subprotocol = "", .target = "/ws?user=alice"};
  const auto one = WsClient::Connect(server.port(), alice);
  const auto two = WsClient::Connect(server.port(), alice);
  ASSERT_NE(two, nullptr);
  EXPECT_EQ(two->ReadClose(), 4429);
  EXPECT_EQ(two->close_reason(), "this user has as many sessions as it may");
  ASSERT_TRUE(server.node().Publish("$user/alice", "hello").ok());
  EXPECT_EQ(one->Read(), "hello");
}

}  // namespace
}  // namespace herald
