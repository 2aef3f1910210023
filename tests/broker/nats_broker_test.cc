#include "broker/nats_broker.h"

#include <gmock/gmock.h>

#include <atomic>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <map>
#include <thread>

#include "absl/strings/numbers.h"
#include "tests/broker/broker_contract.h"
#include "tests/broker/nats_server.h"

namespace herald {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

std::unique_ptr<Broker> MakeOnSharedServer(std::vector<std::unique_ptr<Shard>>& shards,
                                           TopicIndex& index,
                                           std::shared_ptr<const TopicRules> rules) {
  return NatsUnderTest::Make(NatsServer::Shared(), NatsUnderTest::NewPrefix())(shards, index,
                                                                               std::move(rules));
}

INSTANTIATE_TEST_SUITE_P(Nats, BrokerContractTest,
                         ::testing::Values(BrokerUnderTest{"Nats", MakeOnSharedServer}),
                         BrokerName);

// Publishes numbers on a topic, as fast as a few at once allow, until it is stopped; whatever becomes of them.
class Flood {
 public:
  Flood(Node& node, std::string topic)
      : node_(node),
        topic_(std::move(topic)),
        thread_([this](std::stop_token stop) { Run(stop); }) {}
  ~Flood() { Stop(); }

  void Stop() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
    while (under_way_ > 0) absl::SleepFor(absl::Milliseconds(1));
  }
  // The last that was published.
  int number() const { return number_; }
  // The last but `back` that was accepted, with its position; the number is 0 while there are too few.
  std::pair<int, Position> Accepted(int back) {
    MutexLock lock(mutex_);
    if (static_cast<int>(accepted_.size()) <= back) return {0, {}};
    return *std::prev(accepted_.end(), back + 1);
  }

 private:
  void Run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      while (under_way_ >= 8) std::this_thread::yield();
      ++under_way_;
      const int number = ++number_;
      node_.broker().Publish({Body(std::to_string(number)), topic_, nullptr, nullptr, true},
                             [this, number](const absl::StatusOr<Published>& published) {
                               if (published.ok()) {
                                 MutexLock lock(mutex_);
                                 accepted_[number] = published->position;
                               }
                               --under_way_;
                             });
      if (number % 8 == 0) absl::SleepFor(absl::Microseconds(100));
    }
  }

  Node& node_;
  const std::string topic_;
  std::atomic<int> number_{0}, under_way_{0};
  Mutex mutex_;
  std::map<int, Position> accepted_ ABSL_GUARDED_BY(mutex_);
  std::jthread thread_;  // last: it uses the others
};

// Two replicas on one server of their own.
class NatsBrokerTest : public ::testing::Test {
 protected:
  NatsBrokerTest() : first_(2, {}, NatsUnderTest::Make(server_, prefix_)) {
    first_connection_ = &NatsUnderTest::LastConnection();
    second_.emplace(2, ShardOptions{}, NatsUnderTest::Make(server_, prefix_));
  }

  static std::vector<std::string> Payloads(const std::vector<Received>& messages) {
    std::vector<std::string> payloads;
    for (const Received& message : messages) payloads.push_back(message.payload);
    return payloads;
  }
  // Until the publication is taken: NATS may be about to come back.
  static Position PublishAtLast(Node& node, const std::string& topic, const std::string& payload) {
    Position position;
    absl::Status status;
    EXPECT_TRUE(Eventually([&] {
      const auto published = node.Publish(topic, payload);
      status = published.status();
      if (published.ok()) position = published->position;
      return published.ok();
    })) << status;
    return position;
  }
  std::string Api(const std::string& what, const std::string& request) {
    Awaited<absl::StatusOr<std::string>> answer;
    first_connection_->Request("$JS.API." + what, request, absl::Seconds(5),
                               [done = answer.callback()](absl::StatusOr<NatsMessage> answer) {
                                 if (!answer.ok()) return done(answer.status());
                                 done(std::string(answer->data()));
                               });
    const absl::StatusOr<std::string> text = answer.Get();
    EXPECT_TRUE(text.ok()) << text.status();
    return text.value_or("");
  }
  std::vector<std::string> Streams() const {
    std::string name = prefix_;
    for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return {name + "_0", name + "_1"};
  }

  NatsServer server_;
  const std::string prefix_ = NatsUnderTest::NewPrefix();
  Node first_;
  NatsConnection* first_connection_;
  std::optional<Node> second_;
};

TEST_F(NatsBrokerTest, WhatOneReplicaPublishesReachesTheOther) {
  auto session = second_->Add();
  ASSERT_TRUE(second_->Subscribe(*session, "kept/a").ok());
  const auto published = first_.Publish("kept/a", "one");
  ASSERT_TRUE(published.ok());
  EXPECT_EQ(published->matched, 0u);  // none here
  ASSERT_TRUE(second_->WaitReceived(*session, 1));
  EXPECT_THAT(second_->ReceivedBy(*session),
              ElementsAre(Received{"kept/a", published->position.offset, "one"}));
}

TEST_F(NatsBrokerTest, AReplicaThatNeverSawTheTopicResumesFromTheStream) {
  const auto first = first_.Publish("kept/a", "1");
  for (int i = 2; i <= 20; ++i) ASSERT_TRUE(first_.Publish("kept/a", std::to_string(i)).ok());
  auto session = second_->Add();
  const auto start = second_->Subscribe(*session, "kept/a", first->position);
  ASSERT_TRUE(start.ok());
  EXPECT_TRUE(start->recovered);
  ASSERT_EQ(start->missed.size(), 19u);
  EXPECT_EQ(start->missed.front()->body().payload, "2");
  EXPECT_EQ(start->missed.back()->body().payload, "20");
}

TEST_F(NatsBrokerTest, APositionInATopicWithoutMessagesResumesAtAnotherReplica) {
  ASSERT_TRUE(first_.Publish("kept/other", "x").ok());
  auto before = first_.Add();
  const auto start = first_.Subscribe(*before, "kept/quiet");
  ASSERT_TRUE(start.ok());
  ASSERT_TRUE(first_.Publish("kept/quiet", "first").ok());
  auto after = second_->Add();
  const auto resumed = second_->Subscribe(*after, "kept/quiet", start->position);
  ASSERT_TRUE(resumed.ok());
  EXPECT_TRUE(resumed->recovered);
  EXPECT_THAT(resumed->missed, SizeIs(1));
}

// What is read from the stream has to meet what the replica has in memory, which lets go of messages while
// it is read: with a hole between it is no recovery.
TEST_F(NatsBrokerTest, AResumeThatIsReadWhileMessagesFlyByIsWholeOrNotCalledRecovered) {
  const std::string topic = "small/busy";  // keeps 5
  auto listener = second_->Add();
  ASSERT_TRUE(second_->Subscribe(*listener, topic).ok());
  Flood flood(first_, topic);
  int recovered = 0, expired = 0;
  for (int i = 0; i < 150; ++i) {
    std::pair<int, Position> since;
    ASSERT_TRUE(Eventually([&] {
      since = flood.Accepted(2 + i % 8);
      return since.first > 0;
    }));
    auto session = second_->Add();
    const auto start = second_->Subscribe(*session, topic, since.second);
    ASSERT_TRUE(start.ok());
    ++(start->recovered ? recovered : expired);
    if (!start->recovered) continue;
    int next = since.first;
    for (const MessagePtr& message : start->missed)
      ASSERT_EQ(message->body().payload, std::to_string(++next)) << "after " << since.first;
  }
  EXPECT_GT(recovered, 0);
  EXPECT_GT(expired, 0);
}

TEST_F(NatsBrokerTest, ALostMessageIsReadFromTheStreamBeforeTheNextGoesOut) {
  auto session = first_.Add();
  ASSERT_TRUE(first_.Subscribe(*session, "kept/a").ok());
  ASSERT_TRUE(first_.Publish("kept/a", "1").ok());
  ASSERT_TRUE(first_.WaitReceived(*session, 1));
  first_connection_->Unsubscribe(prefix_ + ".l.kept/a");
  ASSERT_TRUE(first_.Publish("kept/a", "2").ok());
  ASSERT_TRUE(first_.Publish("kept/a", "3").ok());
  first_connection_->Subscribe(prefix_ + ".l.kept/a", dynamic_cast<NatsBroker&>(first_.broker()));
  ASSERT_TRUE(first_.Publish("kept/a", "4").ok());
  ASSERT_TRUE(first_.WaitReceived(*session, 4));
  EXPECT_THAT(Payloads(first_.ReceivedBy(*session)), ElementsAre("1", "2", "3", "4"));
}

TEST_F(NatsBrokerTest, WhoComesWithAMessageThatTheReplicaHasNotSeenDoesNotGetItAgain) {
  NatsConnection& connection = NatsUnderTest::LastConnection();
  auto listener = second_->Add();
  ASSERT_TRUE(second_->Subscribe(*listener, "kept/a").ok());
  ASSERT_TRUE(first_.Publish("kept/a", "1").ok());
  ASSERT_TRUE(second_->WaitReceived(*listener, 1));
  connection.Unsubscribe(prefix_ + ".l.kept/a");
  const auto second = first_.Publish("kept/a", "2");
  ASSERT_TRUE(second.ok());
  auto session = second_->Add();
  const auto start = second_->Subscribe(*session, "kept/a", second->position);
  ASSERT_TRUE(start.ok());
  EXPECT_TRUE(start->recovered);
  EXPECT_EQ(start->position.offset, second->position.offset);
  connection.Subscribe(prefix_ + ".l.kept/a", dynamic_cast<NatsBroker&>(second_->broker()));
  ASSERT_TRUE(first_.Publish("kept/a", "3").ok());
  ASSERT_TRUE(second_->WaitReceived(*listener, 3));
  ASSERT_TRUE(second_->WaitReceived(*session, 1));
  second_->Settle();
  EXPECT_THAT(Payloads(second_->ReceivedBy(*listener)), ElementsAre("1", "2", "3"));
  EXPECT_THAT(Payloads(second_->ReceivedBy(*session)), ElementsAre("3"));
}

TEST_F(NatsBrokerTest, ALostTailIsFoundWithoutAnotherMessage) {
  auto session = first_.Add();
  ASSERT_TRUE(first_.Subscribe(*session, "kept/a").ok());
  first_connection_->Unsubscribe(prefix_ + ".l.kept/a");
  ASSERT_TRUE(first_.Publish("kept/a", "1").ok());
  ASSERT_TRUE(first_.WaitReceived(*session, 1));
}

TEST_F(NatsBrokerTest, WithNatsAwaySessionsStayAndCatchUpOnItsReturn) {
  auto session = first_.Add();
  ASSERT_TRUE(first_.Subscribe(*session, "kept/a").ok());
  ASSERT_TRUE(first_.Publish("kept/a", "1").ok());
  server_.Kill();
  ASSERT_TRUE(Eventually([&] {
    return first_.Publish("kept/a", "refused").status().code() == absl::StatusCode::kUnavailable;
  }));
  EXPECT_TRUE(Eventually([&] { return first_.broker().away(); }));
  server_.Start();
  PublishAtLast(*second_, "kept/a", "2");
  PublishAtLast(first_, "kept/a", "3");
  ASSERT_TRUE(first_.WaitReceived(*session, 3));
  EXPECT_THAT(Payloads(first_.ReceivedBy(*session)), ElementsAre("1", "2", "3"));
}

TEST_F(NatsBrokerTest, AStoreThatWentBackIsNeverCalledRecovered) {
  const auto kept = first_.Publish("kept/a", "1");
  server_.Kill();
  server_.SaveStore();
  server_.Start();
  auto live = first_.Add();
  ASSERT_TRUE(first_.Subscribe(*live, "kept/a").ok());
  PublishAtLast(first_, "kept/a", "2");
  const Position lost = PublishAtLast(first_, "kept/a", "3");
  ASSERT_TRUE(first_.WaitReceived(*live, 2));
  server_.Kill();
  server_.RestoreStore();
  server_.Start();
  // The numbers of what was lost are given out again.
  PublishAtLast(*second_, "kept/a", "2b");
  PublishAtLast(*second_, "kept/a", "3b");
  // Whoever listens is told, and then gets what is new.
  ASSERT_TRUE(Eventually([&] {
    const auto payloads = Payloads(first_.ReceivedBy(*live));
    return std::find(payloads.begin(), payloads.end(), "gap:epoch") != payloads.end();
  }));
  PublishAtLast(*second_, "kept/a", "4b");
  ASSERT_TRUE(Eventually([&] { return Payloads(first_.ReceivedBy(*live)).back() == "4b"; }));
  for (const Position& position : {lost, kept->position}) {
    for (Node* node : {&first_, &*second_}) {
      auto late = node->Add();
      const auto start = node->Subscribe(*late, "kept/a", position);
      ASSERT_TRUE(start.ok());
      EXPECT_FALSE(start->recovered);
      EXPECT_EQ(start->reason, NotRecovered::kEpoch);
    }
  }
}

TEST_F(NatsBrokerTest, AStreamThatWasDeletedIsMadeAgainUnderAnotherEpoch) {
  auto session = first_.Add();
  ASSERT_TRUE(first_.Subscribe(*session, "kept/a").ok());
  const auto before = first_.Publish("kept/a", "1");
  ASSERT_TRUE(first_.WaitReceived(*session, 1));
  for (const std::string& stream : Streams()) Api("STREAM.DELETE." + stream, "");
  ASSERT_TRUE(
      Eventually([&] { return Payloads(first_.ReceivedBy(*session)).back() == "gap:epoch"; }));
  const Position after = PublishAtLast(first_, "kept/a", "2");
  EXPECT_NE(after.epoch, before->position.epoch);
  ASSERT_TRUE(Eventually([&] { return Payloads(first_.ReceivedBy(*session)).back() == "2"; }));
}

// A fast producer soon has the old numbers given out again, and passes the old end before anybody looks.
class FastProducerTest : public NatsBrokerTest {
 protected:
  FastProducerTest() : session_(second_->Add()) {
    EXPECT_TRUE(second_->Subscribe(*session_, "kept/a").ok());
    flood_.emplace(first_, "kept/a");
    EXPECT_TRUE(second_->WaitReceived(*session_, 50));
  }
  // Of the messages behind `last` none may come before the gap.
  void ExpectGapBehind(int last) {
    const auto gap = [](const std::vector<std::string>& got) {
      return std::find_if(got.begin(), got.end(),
                          [](const std::string& one) { return one.starts_with("gap"); });
    };
    std::vector<std::string> got;
    EXPECT_TRUE(Eventually([&] {
      got = Payloads(second_->ReceivedBy(*session_));
      return gap(got) != got.end() && std::next(gap(got)) != got.end();
    }));
    for (auto it = got.begin(); it != gap(got); ++it) {
      int number = 0;
      ASSERT_TRUE(absl::SimpleAtoi(*it, &number)) << *it;
      ASSERT_LE(number, last);
    }
  }

  RecordingSessionPtr session_;
  std::optional<Flood> flood_;
};

TEST_F(FastProducerTest, AStreamThatSomebodyMakesAgainAsItWasIsToldBeforeItsMessagesCome) {
  std::vector<std::string> configs;
  for (const std::string& stream : Streams()) {
    const boost::json::value info = boost::json::parse(Api("STREAM.INFO." + stream, ""));
    configs.push_back(boost::json::serialize(info.at("config")));
  }
  for (const std::string& stream : Streams()) Api("STREAM.DELETE." + stream, "");
  const int deleted = flood_->number();
  absl::SleepFor(absl::Milliseconds(500));  // before the replicas do, and after 2.9 has cleared up
  for (std::size_t i = 0; i < configs.size(); ++i) Api("STREAM.CREATE." + Streams()[i], configs[i]);
  ExpectGapBehind(deleted);
}

TEST_F(FastProducerTest, AStoreThatWentBackIsToldBeforeWhatTakesTheLostOnesPlaces) {
  server_.Kill();
  server_.SaveStore();
  server_.Start();
  const std::size_t before = second_->ReceivedBy(*session_).size();
  ASSERT_TRUE(second_->WaitReceived(*session_, before + 200));
  server_.Kill();
  const int lost = flood_->number();
  server_.RestoreStore();
  server_.Start();
  ExpectGapBehind(lost);
}

TEST_F(NatsBrokerTest, ARepeatIsKnownWhicheverReplicaTakesIt) {
  Publication publication{Body("once"), "kept/a"};
  publication.dedupe_id = "key";
  publication.fingerprint = "one";
  const auto first = first_.Publish(publication);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_FALSE(first->duplicate);
  const auto again = second_->Publish(publication);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->duplicate);
  EXPECT_EQ(again->position, first->position);
  publication.fingerprint = "two";
  EXPECT_EQ(second_->Publish(publication).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(first_.Read({.topic = "kept/a"}).messages, SizeIs(1));
}

TEST_F(NatsBrokerTest, ExceptionsOptionsAndAllOfTheMessageTravel) {
  auto spared = second_->Add(), other = second_->Add();
  for (auto& session : {spared, other}) ASSERT_TRUE(second_->Subscribe(*session, "live/a").ok());
  auto except = std::make_shared<Exceptions>();
  except->sessions.insert(spared->id());
  ASSERT_TRUE(first_.Publish(Publication{Body("x"), "live/a", except, nullptr, false}).ok());
  ASSERT_TRUE(first_.Publish("live/a", "y").ok());
  ASSERT_TRUE(second_->WaitReceived(*other, 2));
  ASSERT_TRUE(second_->WaitReceived(*spared, 1));
  EXPECT_THAT(Payloads(second_->ReceivedBy(*spared)), ElementsAre("y"));
}

}  // namespace
}  // namespace herald
