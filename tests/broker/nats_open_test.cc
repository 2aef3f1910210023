// How a broker comes to its NATS: what it says where it cannot, what it waits for, how it names things.
#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/nats_broker.h"
#include "broker/nats_subjects.h"
#include "fmt/format.h"
#include "tests/broker/broker_contract.h"
#include "tests/broker/nats_server.h"

namespace herald {
namespace {

TEST(NatsBrokerOpenTest, SaysThatJetStreamIsOff) {
  NatsServer server({.jetstream = false});
  auto connection = NatsConnection::Open(NatsUnderTest::Options(server));
  ASSERT_TRUE(connection.ok());
  std::vector<std::unique_ptr<Shard>> shards;
  TopicIndex index;
  NatsBroker broker(**connection, shards, index, TestRules(), {});
  const absl::Status status = broker.Open(absl::Seconds(1));
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("JetStream"));
}

// JetStream's API, of a cluster that comes up: first it misses peers, then it has not learned yet of a
// stream that another replica has made.
class SlowToLearn final : public NatsConnection::Receiver {
 public:
  SlowToLearn(NatsConnection& connection, std::string subjects)
      : connection_(connection), subjects_(std::move(subjects)) {}

  void OnMessage(NatsMessage message) override {
    std::string answer =
        R"({"error":{"code":404,"err_code":10059,"description":"stream not found"}})";
    if (message.subject().starts_with("$JS.API.STREAM.CREATE")) {
      answer = created_++ == 0
                   ? R"({"error":{"code":400,"err_code":10005,"description":"peer offline"}})"
                   : R"({"error":{"code":400,"err_code":10058,"description":"name in use"}})";
    } else if (++asked_ > 3) {
      answer = fmt::format(
          R"({{"config":{{"description":"herald epoch 1","subjects":["{}"]}},"state":{{}}}})",
          subjects_);
    }
    (void)connection_.Publish(message.reply(), answer);
  }
  int asked() const { return asked_; }
  int created() const { return created_; }

 private:
  NatsConnection& connection_;
  const std::string subjects_;
  std::atomic<int> asked_ = 0, created_ = 0;
};

TEST(NatsBrokerOpenTest, WaitsForAClusterThatComesUp) {
  NatsServer server({.jetstream = false});
  auto api = NatsConnection::Open(NatsUnderTest::Options(server));
  auto connection = NatsConnection::Open(NatsUnderTest::Options(server));
  ASSERT_TRUE(api.ok() && connection.ok());
  NatsBrokerOptions options;
  options.partitions = 1;
  SlowToLearn slow(**api, NatsSubjects(options.prefix, 1).StoredPattern(0));
  (*api)->Subscribe("$JS.API.STREAM.>", slow);
  std::promise<absl::Status> subscribed;
  (*api)->Echo(absl::Seconds(10), [&](absl::Status status) { subscribed.set_value(status); });
  ASSERT_EQ(subscribed.get_future().get(), absl::OkStatus());
  std::vector<std::unique_ptr<Shard>> shards;
  TopicIndex index;
  NatsBroker broker(**connection, shards, index, TestRules(), options);
  EXPECT_EQ(broker.Open(absl::Seconds(10)), absl::OkStatus());
  EXPECT_EQ(slow.created(), 2);
  EXPECT_EQ(slow.asked(), 4);
  (*api)->Close();
}

TEST(NatsConnectionTest, SaysWhereItFoundNoServer) {
  NatsConnectionOptions options;
  options.servers = {"nats://127.0.0.1:1"};
  options.connect_timeout = absl::ZeroDuration();
  const auto connection = NatsConnection::Open(options);
  EXPECT_EQ(connection.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(connection.status().message()), ::testing::HasSubstr("127.0.0.1:1"));
}

TEST(NatsSubjectsTest, NamesSurviveTheWayThroughTokens) {
  for (const std::string& topic :
       {std::string("orders/42"), std::string("$user/a.b"), std::string("a*b>c d%e"),
        std::string("\xc3\xa9\x01"), std::string(255, '.')}) {
    const std::string token = ToToken(topic);
    EXPECT_EQ(token.find_first_of(".*> "), std::string::npos) << token;
    EXPECT_EQ(FromToken(token), topic);
  }
  for (const char* token : {"%", "%4", "%zz", "%2f", "%41", "a.b", "a b"})
    EXPECT_EQ(FromToken(token), std::nullopt) << token;
}

}  // namespace
}  // namespace herald
