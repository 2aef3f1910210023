// A log of NATS that changes under live replicas, without a lost connection.
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <boost/json/parse.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_replace.h"
#include "broker/nats_broker.h"
#include "broker/nats_subjects.h"
#include "broker/stored_message.h"
#include "fmt/format.h"
#include "session/random.h"
#include "tests/broker/nats_server.h"

namespace herald {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;

// Subjects of JetStream's API where the replicas connect, and where the store answers them.
constexpr std::string_view kFrontConfig = R"(
leafnodes {{ listen: "127.0.0.1:{}" }}
mappings: {{
  "$JS.API.STREAM.>": "$JS.store.API.STREAM.>"
  "$JS.API.DIRECT.>": "{}DIRECT.>"
}}
)";
constexpr std::string_view kStoreConfig = R"(
jetstream {{ domain: store }}
leafnodes {{ reconnect: 1, remotes: [ {{ url: "nats://127.0.0.1:{}" }} ] }}
)";
constexpr std::string_view kFollower = "follower.";

// Two replicas, connected to a server without a store. The store is a leaf node of that server: it can
// be killed and come back with an older log while the replicas keep their connections.
//
// The replicas look at the store only when the test calls Tick.
class NatsRollbackTest : public ::testing::Test {
 protected:
  explicit NatsRollbackTest(std::string_view direct_get = "$JS.store.API.")
      : front_({.jetstream = false, .config = fmt::format(kFrontConfig, leaf_port_, direct_get)}),
        store_({.config = fmt::format(kStoreConfig, leaf_port_)}),
        direct_(*NatsConnection::Open(NatsUnderTest::Options(store_))) {
    first_.emplace(1, ShardOptions{}, NatsUnderTest::Make(front_, prefix_, {.ticks = false}));
    connections_.push_back(&NatsUnderTest::LastConnection());
    second_.emplace(1, ShardOptions{}, NatsUnderTest::Make(front_, prefix_, {.ticks = false}));
    connections_.push_back(&NatsUnderTest::LastConnection());
  }

  // Different topics of one stream.
  std::string Topic(int number) const {
    for (int i = 0;; ++i) {
      std::string topic = fmt::format("kept/{}", i);
      if (subjects_.PartitionOf(topic) == 0 && number-- == 0) return topic;
    }
  }
  // Seconds pass for the replicas, and each second of theirs some milliseconds for the test.
  void Tick() {
    now_ += absl::Seconds(1);
    for (Node* node : {&*first_, &*second_}) node->broker().EverySecond(now_);
    absl::SleepFor(absl::Milliseconds(20));
  }
  template <typename F>
  [[nodiscard]] bool EventuallyTicking(F condition) {
    return Eventually([&] {
      if (condition()) return true;
      Tick();
      return false;
    });
  }
  // Stores a message directly, as another replica would; returns its sequence.
  std::uint64_t Store(const std::string& topic, const std::string& payload) {
    Awaited<absl::StatusOr<std::string>> answer;
    direct_->Request(subjects_.Stored(topic), Stored(topic, payload), absl::Seconds(5),
                     [done = answer.callback()](absl::StatusOr<NatsMessage> answer) {
                       if (!answer.ok()) return done(answer.status());
                       done(std::string(answer->data()));
                     });
    const auto text = answer.Get();
    EXPECT_TRUE(text.ok()) << text.status();
    return static_cast<std::uint64_t>(
        boost::json::parse(*text).at("seq").to_number<std::int64_t>());
  }
  static std::string Stored(const std::string& topic, const std::string& payload) {
    return Serialize({Body(payload), topic}, RandomUint64(), "", "");
  }
  // Until the replicas reach the store, and have got what it sent before.
  void Reach() {
    for (NatsConnection* connection : connections_) {
      EXPECT_TRUE(Eventually([&] {
        Awaited<bool> answer;
        connection->Request("$JS.API.STREAM.INFO." + subjects_.Stream(0), "", absl::Seconds(2),
                            [done = answer.callback()](const absl::StatusOr<NatsMessage>& answer) {
                              done(answer.ok());
                            });
        return answer.Get();
      }));
    }
  }
  void GoBack() {
    store_.Kill();
    store_.RestoreStore();
    StartStore();
  }
  void StartStore() {
    store_.Start();
    ASSERT_TRUE(Eventually([&] { return direct_->connected(); }));
    Reach();
  }
  RecordingSessionPtr Follow(Node& node, const std::string& topic) {
    RecordingSessionPtr session = node.Add();
    const auto start = node.Subscribe(*session, topic);
    EXPECT_TRUE(start.ok()) << start.status();
    return session;
  }
  static std::vector<std::string> Got(Node& node, const RecordingSessionPtr& session) {
    std::vector<std::string> payloads;
    for (const Received& message : node.ReceivedBy(*session)) payloads.push_back(message.payload);
    return payloads;
  }

  // Exactly these messages, with a gap between the two parts. Each replica may have made a new epoch.
  void ExpectGapThen(Node& node, const RecordingSessionPtr& session,
                     const std::vector<std::string>& before,
                     const std::vector<std::string>& after) {
    std::vector<std::string> expected = before, got;
    expected.emplace_back("gap:epoch");
    expected.insert(expected.end(), after.begin(), after.end());
    EXPECT_TRUE(EventuallyTicking([&] {
      got = Got(node, session);
      got.erase(std::unique(got.begin(), got.end()), got.end());  // gaps
      if (!got.empty() && got.size() > expected.size() && got.back() == "gap:epoch") got.pop_back();
      return got == expected;
    })) << ::testing::PrintToString(got);
  }

  const int leaf_port_ = NatsServer::FreePort();
  NatsServer front_, store_;
  std::unique_ptr<NatsConnection> direct_;
  const std::string prefix_ = NatsUnderTest::NewPrefix();
  const NatsSubjects subjects_{prefix_, 2};
  std::optional<Node> first_, second_;
  std::vector<NatsConnection*> connections_;
  absl::Time now_ = absl::Now();
};

TEST_F(NatsRollbackTest, A0AStoreThatGoesBackTwiceUnseenIsTold) {
  const std::string lost = Topic(0), between = Topic(1), other = Topic(2), quiet = Topic(3);
  for (const std::string& topic : {lost, between, other}) Store(topic, "1");
  struct Follower {
    Node& node;
    RecordingSessionPtr lost, between, other, quiet;
  };
  std::vector<Follower> followers;
  for (Node* node : {&*first_, &*second_}) {
    followers.push_back(
        {*node, Follow(*node, lost), Follow(*node, between), Follow(*node, other), nullptr});
  }
  store_.Kill();
  store_.SaveStore();
  StartStore();
  EXPECT_EQ(Store(lost, "2"), 4u);
  const auto last = first_->Publish(lost, "3");
  ASSERT_TRUE(last.ok()) << last.status();
  for (Follower& one : followers) {
    ASSERT_TRUE(one.node.WaitReceived(*one.lost, 2));
    one.quiet = Follow(one.node, quiet);  // from sequence 5 on
  }

  GoBack();
  for (const char* payload : {"2", "3", "4"}) Store(between, payload);  // 4 to 6
  Reach();
  GoBack();
  EXPECT_EQ(Store(quiet, "first"), 4u);
  for (const char* payload : {"2", "3", "4"}) Store(other, payload);  // 5 to 7
  Reach();
  Tick();

  ASSERT_TRUE(EventuallyTicking([&] { return first_->Publish(lost, "after").ok(); }));
  for (Follower& one : followers) {
    SCOPED_TRACE(&one == followers.data() ? "first" : "second");
    ExpectGapThen(one.node, one.lost, {"2", "3"}, {"after"});
    // What the store has, and the replica did not trust, follows the gap.
    ExpectGapThen(one.node, one.other, {}, {"2", "3", "4"});
    ExpectGapThen(one.node, one.quiet, {}, {"first"});
    EXPECT_THAT(Got(one.node, one.between), Contains("gap:epoch"));
    RecordingSessionPtr late = one.node.Add();
    const auto start = one.node.Subscribe(*late, lost, last->position);
    ASSERT_TRUE(start.ok()) << start.status();
    EXPECT_FALSE(start->recovered);
  }
  for (const NatsConnection* connection : connections_) EXPECT_EQ(connection->reconnects(), 0u);
}

// What is stored meanwhile could be lost again.
TEST_F(NatsRollbackTest, A0NothingIsPublishedWhileTheLogIsInQuestion) {
  const std::string topic = Topic(0);
  const RecordingSessionPtr session = Follow(*first_, topic);
  store_.Kill();
  store_.SaveStore();
  StartStore();
  ASSERT_TRUE(first_->Publish(topic, "lost").ok());
  ASSERT_TRUE(first_->WaitReceived(*session, 1));
  GoBack();
  Tick();
  Tick();
  ASSERT_TRUE(Eventually([&] {
    return first_->Publish(topic, "meanwhile").status().code() == absl::StatusCode::kUnavailable;
  }));
  ASSERT_TRUE(EventuallyTicking([&] { return first_->Publish(topic, "after").ok(); }));
  ASSERT_TRUE(EventuallyTicking([&] { return Got(*first_, session).back() == "after"; }));
  EXPECT_THAT(Got(*first_, session), Contains("gap:epoch"));
}

// Follower of a stream that answers for it although its log differs from the leader's.
class DivergedFollower final : public NatsConnection::Receiver {
 public:
  DivergedFollower(NatsConnection& connection, std::string subject, std::string topic)
      : connection_(connection), subject_(std::move(subject)), topic_(std::move(topic)) {}

  void OnMessage(NatsMessage message) override {
    const boost::json::value request = boost::json::parse(message.data());
    const boost::json::value* sequence = request.as_object().if_contains("seq");
    const std::int64_t at = sequence == nullptr ? kLast : sequence->to_number<std::int64_t>();
    ++asked_;
    (void)connection_.Publish(
        message.reply(), Serialize({Body("phantom"), topic_}, RandomUint64(), "", ""),
        {{"Nats-Sequence", std::to_string(std::max(at, kFirst))}, {"Nats-Subject", subject_}});
  }
  int asked() const { return asked_; }

 private:
  static constexpr std::int64_t kFirst = 3, kLast = 9;

  NatsConnection& connection_;
  const std::string subject_, topic_;
  std::atomic<int> asked_ = 0;
};

class DivergedFollowerTest : public NatsRollbackTest {
 protected:
  DivergedFollowerTest() : NatsRollbackTest(kFollower) {}
  ~DivergedFollowerTest() override { followers_->Close(); }

  std::unique_ptr<NatsConnection> followers_ =
      *NatsConnection::Open(NatsUnderTest::Options(front_));
};

TEST_F(DivergedFollowerTest, A0WhatOnlyAFollowerSaysIsNotDelivered) {
  const std::string topic = Topic(0);
  DivergedFollower follower(*followers_, subjects_.Stored(topic), topic);
  followers_->Subscribe(std::string(kFollower) + "DIRECT.>", follower);
  Awaited<absl::Status> subscribed;
  followers_->Echo(absl::Seconds(10), subscribed.callback());
  ASSERT_TRUE(subscribed.Get().ok());

  const auto first = first_->Publish(topic, "1");
  ASSERT_TRUE(first.ok()) << first.status();
  const RecordingSessionPtr session = Follow(*first_, topic);
  ASSERT_TRUE(first_->Publish(topic, "2").ok());
  ASSERT_TRUE(first_->WaitReceived(*session, 1));
  ASSERT_TRUE(EventuallyTicking([&] { return follower.asked() >= 6; }));
  Reach();
  ASSERT_TRUE(first_->Publish(topic, "3").ok());
  ASSERT_TRUE(EventuallyTicking([&] { return Got(*first_, session).back() == "3"; }));
  EXPECT_THAT(Got(*first_, session), ElementsAre("2", "3"));

  // The second replica has no message of the topic in memory: it reads them.
  const RecordingSessionPtr late = second_->Add();
  const auto start = second_->Subscribe(*late, topic, first->position);
  ASSERT_TRUE(start.ok()) << start.status();
  EXPECT_TRUE(start->recovered);
  ASSERT_TRUE(second_->WaitReceived(*late, 2));
  EXPECT_THAT(Got(*second_, late), ElementsAre("2", "3"));
  std::vector<std::string> read;
  for (const MessagePtr& message : second_->Read({.topic = topic}).messages)
    read.push_back(message->body().payload);
  EXPECT_THAT(read, ElementsAre("1", "2", "3"));
}

TEST(NatsAgeTest, A0ATopicGoesOnAfterAllOfItsMessagesHaveAged) {
  const std::string prefix = NatsUnderTest::NewPrefix(), topic = "kept/a";
  NatsUnderTest::Setup setup;
  setup.stream.max_age = absl::Milliseconds(200);
  Node node(1, {}, NatsUnderTest::Make(NatsServer::Shared(), prefix, setup));
  NatsConnection& connection = NatsUnderTest::LastConnection();
  const auto session = node.Add();
  ASSERT_TRUE(node.Subscribe(*session, topic).ok());
  ASSERT_TRUE(node.Publish(topic, "1").ok());
  ASSERT_TRUE(node.WaitReceived(*session, 1));
  const NatsSubjects subjects(prefix, 2);
  ASSERT_TRUE(Eventually([&] {
    Awaited<std::string> answer;
    connection.Request("$JS.API.STREAM.INFO." + subjects.Stream(subjects.PartitionOf(topic)), "",
                       absl::Seconds(5),
                       [done = answer.callback()](const absl::StatusOr<NatsMessage>& answer) {
                         done(answer.ok() ? std::string(answer->data()) : "");
                       });
    return answer.Get().find(R"("messages":0)") != std::string::npos;
  }));
  ASSERT_TRUE(node.Publish(topic, "2").ok());
  ASSERT_TRUE(Eventually([&] {
    const auto got = node.ReceivedBy(*session);
    return got.back().payload == "2";
  }));
}

}  // namespace
}  // namespace herald
