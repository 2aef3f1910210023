#include "broker/nats_cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/broker/local_cluster.h"
#include "tests/broker/nats_server.h"

namespace herald {
namespace {

using ::testing::HasSubstr;

// Nodes over a real nats-server.
class NatsClusterTest : public ::testing::Test {
 protected:
  struct Member {
    Member(NatsServer& server, const std::string& prefix, const std::string& name)
        : connection(*NatsConnection::Open(NatsUnderTest::Options(server))),
          nats(*connection, prefix, Options(name)) {
      nats.cluster().Handle("echo",
                            [name](std::string_view from, std::string request, auto answer) {
                              answer(fmt::format("{}<{}:{}", name, from, request.size()));
                            });
    }
    ~Member() { End(false); }
    void End(bool goodbye) {
      nats.Stop(goodbye);
      connection->Close();
    }
    static ClusterNodeOptions Options(const std::string& name) {
      ClusterNodeOptions options;
      options.name = name;
      options.heartbeat = absl::Milliseconds(50);
      options.lost_after = absl::Milliseconds(1500);
      return options;
    }
    std::unique_ptr<NatsConnection> connection;
    NatsCluster nats;
  };
  std::unique_ptr<Member> Make(const std::string& name) {
    return std::make_unique<Member>(server_, prefix_, name);
  }
  std::unique_ptr<Member> Started(const std::string& name) {
    auto member = Make(name);
    const absl::Status started = member->nats.Start();
    EXPECT_TRUE(started.ok()) << started;
    return member;
  }
  static absl::StatusOr<std::string> Ask(Member& from, const std::string& to, std::string request,
                                         absl::Duration deadline = absl::Seconds(30)) {
    Awaited<absl::StatusOr<std::string>> answer;
    from.nats.cluster().Ask(to, "echo", std::move(request), deadline, answer.callback());
    return answer.Get();
  }

  NatsServer server_{{.jetstream = false}};
  const std::string prefix_ = NatsUnderTest::NewPrefix();
};

TEST_F(NatsClusterTest, NodesMeetAskAndPart) {
  auto a = Started("a"), b = Started("b-2");
  ASSERT_TRUE(WaitPeers(a->nats.cluster(), {"b-2"}));
  ASSERT_TRUE(WaitPeers(b->nats.cluster(), {"a"}));
  EXPECT_EQ(*Ask(*a, "b-2", "hi"), "b-2<a:2");
  // More than NATS takes in one message.
  EXPECT_EQ(*Ask(*b, "a", std::string(5 << 20, 'x')), fmt::format("a<b-2:{}", 5 << 20));
  b->End(/*goodbye=*/true);
  ASSERT_TRUE(WaitPeers(a->nats.cluster(), {}));
  EXPECT_EQ(Ask(*a, "b-2", "hi").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(NatsClusterTest, ANodeThatIsGoneIsLostAndItsNameFree) {
  auto a = Started("a"), b = Started("b");
  ASSERT_TRUE(WaitPeers(a->nats.cluster(), {"b"}));
  const absl::Status refused = Make("b")->nats.Start();
  EXPECT_EQ(refused.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("node_name"));
  EXPECT_TRUE(Ask(*a, "b", "still there").ok());
  b->End(/*goodbye=*/false);
  auto again = Started("b");
  ASSERT_TRUE(WaitPeers(again->nats.cluster(), {"a"}));
  EXPECT_TRUE(Ask(*again, "a", "hi").ok());
  EXPECT_TRUE(Ask(*a, "b", "hi").ok());
}

TEST_F(NatsClusterTest, WhileNatsIsAwayNobodyIsLostAndQuestionsFailAtOnce) {
  auto a = Started("a"), b = Started("b");
  ASSERT_TRUE(WaitPeers(a->nats.cluster(), {"b"}));
  ASSERT_TRUE(WaitPeers(b->nats.cluster(), {"a"}));
  server_.Kill();
  ASSERT_TRUE(Eventually([&] { return !a->connection->connected(); }));
  EXPECT_EQ(Ask(*a, "b", "hi").status().code(), absl::StatusCode::kUnavailable);
  absl::SleepFor(absl::Seconds(2));
  EXPECT_TRUE(WaitPeers(a->nats.cluster(), {"b"}));
  server_.Start();
  // The first may come before the other is back.
  const absl::Duration soon = absl::Milliseconds(200);
  EXPECT_TRUE(
      Eventually([&] { return Ask(*a, "b", "hi", soon).ok() && Ask(*b, "a", "hi", soon).ok(); }));
}

TEST_F(NatsClusterTest, TwoPrefixesAreTwoClusters) {
  auto a = Started("a");
  Member other(server_, NatsUnderTest::NewPrefix(), "a");
  EXPECT_TRUE(other.nats.Start().ok());
  EXPECT_TRUE(a->nats.cluster().peers().empty());
}

}  // namespace
}  // namespace herald
