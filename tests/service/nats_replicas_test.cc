// Two replicas over a real nats-server: the order of one Push stream, on both.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/nats_cluster.h"
#include "service/cluster_commands.h"
#include "service/push_stream.h"
#include "tests/broker/local_cluster.h"
#include "tests/broker/nats_server.h"
#include "tests/session/node.h"

namespace herald {
namespace {

class NatsReplica {
 public:
  NatsReplica(NatsServer& server, const std::string& prefix, const std::string& name)
      : name_(name),
        node_(2, Options(name), NatsUnderTest::Make(server, prefix)),
        connection_(NatsUnderTest::LastConnection()),
        cluster_(connection_, prefix, ClusterOptions(name)),
        relay_(cluster_.cluster(), clock_) {}
  ~NatsReplica() {
    connection_.Close();  // nothing comes from here on
    cluster_.Stop(/*goodbye=*/false);
  }

  NatsCluster& nats() { return cluster_; }
  Node& node() { return node_; }
  std::shared_ptr<PushStream> OpenStream() {
    return std::make_shared<PushStream>(IdempotentRunner(runner_, memory_, ""), node_.shards(),
                                        executor_, 10'000, calls_, "");
  }

 private:
  static ShardOptions Options(const std::string& name) {
    ShardOptions options;
    options.node = name;
    return options;
  }
  static ClusterNodeOptions ClusterOptions(const std::string& name) {
    ClusterNodeOptions options;
    options.name = name;
    return options;
  }

  const std::string name_;
  CallMemory calls_{1u << 30};
  ReceiptClock clock_;
  Node node_;
  NatsConnection& connection_;
  NatsCluster cluster_;
  ReceiptRelay relay_;
  CommandRunner runner_{node_.broker(), node_.table(), clock_, name_, 1024, 128};
  ClusterCommands commands_{cluster_.cluster(), relay_, runner_, node_.table()};
  Idempotency memory_{absl::Minutes(2), 100'000};
  Executor executor_;
};

// Join, send, leave, over and over: whoever was joined gets what was sent before it left.
TEST(NatsReplicasTest, AStreamsCommandsTakeEffectInTheirOrderOnBoth) {
  constexpr std::uint64_t kRounds = 100;
  NatsServer server;
  const std::string prefix = NatsUnderTest::NewPrefix();
  NatsReplica a(server, prefix, "a"), b(server, prefix, "b");
  ASSERT_TRUE(a.nats().Start().ok());
  ASSERT_TRUE(b.nats().Start().ok());
  ASSERT_TRUE(WaitPeers(a.nats().cluster(), {"b"}));
  auto here = a.node().Add(), there = b.node().Add();
  auto stream = a.OpenStream();
  std::uint64_t seq = 0;
  std::vector<std::string> kept;
  for (std::uint64_t round = 0; round < kRounds; ++round) {
    v1::PushRequest request;
    const auto add = [&]() -> v1::Command& {
      v1::Command& command = *request.add_commands();
      command.set_seq(++seq);
      return command;
    };
    // Two topics for ever, so that each round leaves and joins the same.
    v1::Join& join = *add().mutable_join();
    join.mutable_target()->set_all(true);
    v1::Leave leave;
    leave.mutable_target()->set_all(true);
    for (const char* topic : {"kept/a", "live/a"}) {
      join.add_topics(topic);
      leave.add_topics(topic);
      v1::Deliver& deliver = *add().mutable_deliver();
      deliver.mutable_target()->set_topic(topic);
      deliver.mutable_message()->set_payload(std::to_string(round));
    }
    *add().mutable_leave() = leave;
    kept.push_back(std::to_string(round));
    ASSERT_TRUE(stream->OnRequest(request.SerializeAsString()).ok());
    std::size_t results = 0;
    ASSERT_TRUE(Eventually([&] {
      v1::PushResponse response;
      if (!stream->TakeResponse(&response)) return false;
      for (const v1::CommandResult& result : response.results())
        EXPECT_EQ(result.code(), 0) << result.seq() << ": " << result.detail();
      results += static_cast<std::size_t>(response.results_size());
      stream->OnWritten();
      return results == 4;
    }));
  }
  for (auto [replica, session] : {std::pair(&a, here.get()), std::pair(&b, there.get())}) {
    EXPECT_TRUE(
        Eventually([&] { return replica->node().ReceivedBy(*session).size() >= 2 * kRounds; }));
    std::vector<std::string> got_kept, got_live;
    for (const Received& received : replica->node().ReceivedBy(*session))
      (received.topic == "kept/a" ? got_kept : got_live).push_back(received.payload);
    EXPECT_EQ(got_kept, kept);
    EXPECT_EQ(got_live, kept);
  }
}

}  // namespace
}  // namespace herald
