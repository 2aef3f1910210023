#include "service/cluster_commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "service/push_stream.h"
#include "tests/service/replicas.h"

namespace herald {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr int kOk = 0, kInvalid = 3, kNotFound = 5, kExhausted = 8, kUnavailable = 14;

class ClusterCommandsTest : public ReplicasTest {
 protected:
  struct Sent {
    v1::CommandResult result;
    std::shared_ptr<Awaited<v1::Receipt>> receipt = std::make_shared<Awaited<v1::Receipt>>();
  };
  Sent Report(Replica& at, v1::Command command, v1::ReportLevel level = v1::REPORT_LEVEL_WRITTEN) {
    command.mutable_deliver()->set_report(level);
    Sent sent;
    Awaited<v1::CommandResult> result;
    at.runner().Run(command, {}, result.callback(),
                    [receipt = sent.receipt, callback = sent.receipt->callback()](
                        v1::Receipt told) mutable { callback(std::move(told)); });
    sent.result = result.Get();
    return sent;
  }
  template <typename F>
  static v1::Command Deliver(F aim, std::string payload = "hi") {
    v1::Command command;
    command.set_seq(7);
    aim(*command.mutable_deliver()->mutable_target());
    command.mutable_deliver()->mutable_message()->set_payload(std::move(payload));
    return command;
  }
  static auto ToSession(std::string id) {
    return [id](v1::Target& target) { target.set_session_id(id); };
  }
  static auto ToTopic(std::string topic) {
    return [topic](v1::Target& target) { target.set_topic(topic); };
  }
  static auto ToSelector(std::string selector) {
    return [selector](v1::Target& target) { target.set_selector(selector); };
  }
  static v1::Command JoinAll(const std::string& topic) {
    v1::Command command;
    command.set_seq(1);
    command.mutable_join()->mutable_target()->set_all(true);
    command.mutable_join()->add_topics(topic);
    return command;
  }
};

// --- a session of another node ---

TEST_F(ClusterCommandsTest, ACommandGoesToTheNodeOfItsSession) {
  auto session = b_.node().Add();
  const v1::CommandResult result = Run(a_, Deliver(ToSession(b_.IdOf(*session))));
  EXPECT_EQ(result.code(), kOk) << result.detail();
  EXPECT_EQ(result.seq(), 7u);
  EXPECT_EQ(result.matched(), 1u);
  EXPECT_THAT(result.message_id(), SizeIs(32));
  EXPECT_TRUE(b_.node().WaitReceived(*session, 1));

  v1::Command join;
  join.mutable_join()->mutable_target()->set_session_id(b_.IdOf(*session));
  join.mutable_join()->add_topics("t");
  EXPECT_EQ(Run(c_, join).matched(), 1u);
  EXPECT_EQ(b_.node().index().Find("t").subscribers, 1u);
  v1::Command disconnect;
  disconnect.mutable_disconnect()->mutable_target()->set_session_id(b_.IdOf(*session));
  EXPECT_EQ(Run(a_, disconnect).matched(), 1u);
  EXPECT_EQ(Run(a_, disconnect).code(), kNotFound);
  EXPECT_EQ(a_.runner().commands(), 3u);
  EXPECT_EQ(b_.runner().commands(), 0u) << "each counts where it was taken";
}

TEST_F(ClusterCommandsTest, G6TheReachOfAProducerGoesAlong) {
  auto mine = b_.node().Add({}, 0, "a/1");
  auto theirs = b_.node().Add({}, 0, "b/1");
  CommandRunner::Context context;
  context.reach = std::make_shared<const Reach>(Reach{*PatternSet::Parse({"a/**"}), {}});
  context.beyond_reach = std::make_shared<std::atomic<std::uint64_t>>(0);
  const auto run = [&](const v1::Command& command) {
    Awaited<v1::CommandResult> result;
    a_.runner().Run(command, context, result.callback());
    return result.Get();
  };
  constexpr int kDenied = 7;
  EXPECT_EQ(run(Deliver(ToSession(b_.IdOf(*theirs)))).code(), kDenied);
  EXPECT_EQ(run(Deliver(ToSession(b_.IdOf(*mine)))).code(), kOk);
  EXPECT_EQ(*context.beyond_reach, 1u);
  ASSERT_EQ(Run(a_, JoinAll("room")).matched(), 2u);
  v1::Command labels;
  labels.mutable_set_labels()->mutable_target()->set_topic("room");
  (*labels.mutable_set_labels()->mutable_set())["k"] = "v";
  EXPECT_EQ(run(labels).matched(), 1u);
  EXPECT_THAT(b_.node().ReceivedBy(*theirs), IsEmpty());
}

TEST_F(ClusterCommandsTest, WhatIsWrongIsToldByTheNodeOfTheSession) {
  auto session = b_.node().Add();
  v1::Command bad = Deliver(ToSession(b_.IdOf(*session)), std::string(1025, 'x'));
  EXPECT_THAT(Run(a_, bad).detail(), HasSubstr("message.payload"));
  const Sent acked = Report(a_, Deliver(ToSession(b_.IdOf(*session))), v1::REPORT_LEVEL_ACKED);
  EXPECT_EQ(acked.result.code(), kInvalid);
}

TEST_F(ClusterCommandsTest, ASessionOfNoNodeIsNotFoundAndOneOfASilentNodeUnavailable) {
  auto session = b_.node().Add();
  const std::string id = b_.IdOf(*session);
  EXPECT_EQ(Run(a_, Deliver(ToSession("x" + id))).code(), kNotFound);
  network_.Silence("b");
  const v1::CommandResult result = Run(a_, Deliver(ToSession(id)));
  EXPECT_EQ(result.code(), kUnavailable);
  EXPECT_THAT(result.detail(), HasSubstr("node b"));
  ASSERT_TRUE(WaitPeers(a_.cluster(), {"c"}));
  EXPECT_EQ(Run(a_, Deliver(ToSession(id))).code(), kUnavailable) << "it may come back";
}

TEST_F(ClusterCommandsTest, ANodeThatDrainsStillServesTheOthers) {
  auto session = b_.node().Add();
  b_.runner().draining = true;
  EXPECT_EQ(Run(a_, Deliver(ToSession(b_.IdOf(*session)))).code(), kOk);
  EXPECT_EQ(Run(b_, Deliver(ToSession(b_.IdOf(*session)))).code(), kUnavailable);
  auto other = a_.node().Add();
  EXPECT_EQ(Run(b_, Deliver(ToSession(a_.IdOf(*other)))).code(), kUnavailable);
  EXPECT_EQ(Run(a_, JoinAll("t")).matched(), 2u);
}

TEST_F(ClusterCommandsTest, ItsReceiptComesBack) {
  auto session = b_.node().Add();
  const Sent sent = Report(a_, Deliver(ToSession(b_.IdOf(*session))));
  EXPECT_EQ(sent.result.code(), kOk) << sent.result.detail();
  const v1::Receipt receipt = sent.receipt->Get();
  EXPECT_EQ(receipt.seq(), 7u);
  EXPECT_EQ(receipt.matched(), 1u);
  EXPECT_EQ(receipt.written(), 1u);
  EXPECT_THAT(receipt.dropped(), IsEmpty());
}

TEST_F(ClusterCommandsTest, ASessionThatGoesIsCountedWhereItWas) {
  auto stalled = b_.node().Add({.capacity = 0});
  const Sent sent = Report(a_, Deliver(ToSession(b_.IdOf(*stalled))));
  EXPECT_FALSE(sent.receipt->Ready());
  RunOn(b_.node().shard(), [&] { b_.node().shard().Remove(*stalled); });
  b_.clock().Advance(absl::Now() + absl::Minutes(2));
  const v1::Receipt receipt = sent.receipt->Get();
  EXPECT_EQ(receipt.matched(), 1u);
  EXPECT_THAT(receipt.dropped(), UnorderedElementsAre(Pair("disconnected", 1u)));
}

// --- all nodes ---

TEST_F(ClusterCommandsTest, AChangeReachesAllNodesAndCountsThemAll) {
  auto one = a_.node().Add({}, 0, "alice"), two = b_.node().Add({}, 1, "alice"),
       three = c_.node().Add({}, 0, "bob");
  v1::Command label;
  label.mutable_set_labels()->mutable_target()->set_user_id("alice");
  (*label.mutable_set_labels()->mutable_set())["tier"] = "gold";
  EXPECT_EQ(Run(c_, label).matched(), 2u);
  v1::Command join;
  join.mutable_join()->mutable_target()->set_selector("tier=gold");
  join.mutable_join()->add_topics("t");
  EXPECT_EQ(Run(a_, join).matched(), 2u);
  v1::Command leave;
  leave.mutable_leave()->mutable_target()->set_topic("t");
  leave.mutable_leave()->add_topics("t");
  EXPECT_EQ(Run(b_, leave).matched(), 2u);
  v1::Command disconnect;
  disconnect.mutable_disconnect()->mutable_target()->set_all(true);
  EXPECT_EQ(Run(b_, disconnect).matched(), 3u);
}

TEST_F(ClusterCommandsTest, WhatFailsOnOneNodeFailsAndNamesIt) {
  auto here = a_.node().Add(), there = b_.node().Add();
  v1::Command join;
  join.mutable_join()->mutable_target()->set_session_id(b_.IdOf(*there));
  for (const char* topic : {"1", "2", "3", "4"}) join.mutable_join()->add_topics(topic);
  ASSERT_EQ(Run(b_, join).code(), kOk);
  const v1::CommandResult result = Run(a_, JoinAll("t"));
  EXPECT_EQ(result.code(), kExhausted);
  EXPECT_EQ(result.matched(), 2u);
  EXPECT_THAT(result.detail(), HasSubstr("node b: 1 of 1 sessions"));
}

TEST_F(ClusterCommandsTest, ABadChangeGoesNowhere) {
  std::atomic<int> questions{0};
  network_.set_drop([&](const ClusterFrame& frame) {
    if (frame.word == "command") ++questions;
    return false;
  });
  EXPECT_EQ(Run(a_, JoinAll("$all")).code(), kInvalid);
  EXPECT_EQ(questions, 0);
}

TEST_F(ClusterCommandsTest, AChangeThatANodeDidNotAnswerIsUnavailableAndSaysSo) {
  auto here = a_.node().Add(), there = b_.node().Add();
  network_.Silence("c");
  const v1::CommandResult result = Run(a_, JoinAll("t"));
  EXPECT_EQ(result.code(), kUnavailable);
  EXPECT_EQ(result.matched(), 2u);
  EXPECT_THAT(result.detail(), HasSubstr("node c did not answer"));
  // Once it is held to be lost nobody waits for it.
  ASSERT_TRUE(WaitPeers(a_.cluster(), {"b"}));
  EXPECT_EQ(Run(a_, JoinAll("t")).code(), kOk);
}

TEST_F(ClusterCommandsTest, ASelectorMeetsTheSessionsOfAllNodes) {
  auto one = a_.node().Add(), two = b_.node().Add();
  const Sent sent = Report(c_, Deliver(ToSelector("!absent")));
  EXPECT_EQ(sent.result.code(), kOk) << sent.result.detail();
  EXPECT_EQ(sent.result.matched(), 2u);
  EXPECT_TRUE(a_.node().WaitReceived(*one, 1));
  EXPECT_TRUE(b_.node().WaitReceived(*two, 1));
  const v1::Receipt receipt = sent.receipt->Get();
  EXPECT_EQ(receipt.matched(), 2u);
  EXPECT_EQ(receipt.written(), 2u);
  EXPECT_EQ(receipt.unanswered_nodes(), 0u);

  const Sent nobody = Report(c_, Deliver(ToSelector("absent")));
  EXPECT_EQ(nobody.result.matched(), 0u);
  EXPECT_THAT(nobody.receipt->Get().dropped(), UnorderedElementsAre(Pair("no_session", 1u)));
  EXPECT_EQ(a_.runner().no_session() + b_.runner().no_session() + c_.runner().no_session(), 1u);
  v1::Command online = Deliver(ToSelector("absent"));
  online.mutable_deliver()->set_require_online(true);
  EXPECT_EQ(Run(c_, online).code(), kNotFound);
}

TEST_F(ClusterCommandsTest, ASelectorTellsWhoDidNotAnswer) {
  auto one = a_.node().Add();
  network_.Silence("b");
  const Sent sent = Report(a_, Deliver(ToSelector("!absent")));
  EXPECT_EQ(sent.result.code(), kOk);
  EXPECT_THAT(sent.result.detail(), HasSubstr("node b did not answer"));
  const v1::Receipt receipt = sent.receipt->Get();
  EXPECT_EQ(receipt.written(), 1u);
  EXPECT_EQ(receipt.unanswered_nodes(), 1u);
}

// --- through the broker ---

TEST_F(ClusterCommandsTest, ReceiptsCountTheWholeCluster) {
  auto one = a_.node().Add({}, 0, "alice"), two = b_.node().Add({}, 1, "alice");
  const auto to_alice = Deliver([](v1::Target& target) { target.set_user_id("alice"); });
  for (Replica* at : {&a_, &c_}) {
    const v1::Receipt receipt = Report(*at, to_alice).receipt->Get();
    EXPECT_EQ(receipt.matched(), 2u);
    EXPECT_EQ(receipt.written(), 2u);
    EXPECT_THAT(receipt.dropped(), IsEmpty());
  }
  const Sent acked = Report(c_, to_alice, v1::REPORT_LEVEL_ACKED);
  ASSERT_TRUE(a_.node().WaitReceived(*one, 3));
  ASSERT_TRUE(b_.node().WaitReceived(*two, 3));
  RunOn(a_.node().shard(0), [&] { one->Acknowledge("$user/alice", 3); });
  absl::SleepFor(absl::Milliseconds(20));
  EXPECT_FALSE(acked.receipt->Ready());
  RunOn(b_.node().shard(1), [&] { two->Acknowledge("$user/alice", 3); });
  EXPECT_EQ(acked.receipt->Get().acked(), 2u);
}

TEST_F(ClusterCommandsTest, OfSeveralTopicsEachThatNobodyIsOnCounts) {
  auto session = b_.node().Add({}, 0, "alice");
  const v1::Receipt receipt = Report(a_, Deliver([](v1::Target& target) {
                                       for (const char* user : {"alice", "bob", "carol"})
                                         target.mutable_users()->add_user_ids(user);
                                     }))
                                  .receipt->Get();
  EXPECT_EQ(receipt.matched(), 1u);
  EXPECT_EQ(receipt.written(), 1u);
  EXPECT_THAT(receipt.dropped(), UnorderedElementsAre(Pair("no_session", 2u)));
}

TEST_F(ClusterCommandsTest, AReceiptWaitsForANodeThatIsBehind) {
  auto session = b_.node().Add();
  ASSERT_TRUE(b_.node().Subscribe(*session, "kept/a").ok());
  auto go_on = b_.broker().Pause();
  const Sent sent = Report(a_, Deliver(ToTopic("kept/a")));
  absl::SleepFor(absl::Milliseconds(200));
  EXPECT_FALSE(sent.receipt->Ready());
  go_on->set_value();
  EXPECT_EQ(sent.receipt->Get().written(), 1u);
}

TEST_F(ClusterCommandsTest, RequireOnlineAsksTheOthersFirst) {
  v1::Command command = Deliver(ToTopic("kept/a"));
  command.mutable_deliver()->set_require_online(true);
  EXPECT_EQ(Run(a_, command).code(), kNotFound);
  auto session = b_.node().Add();
  ASSERT_TRUE(b_.node().Subscribe(*session, "kept/a").ok());
  const v1::CommandResult result = Run(a_, command);
  EXPECT_EQ(result.code(), kOk) << result.detail();
  ASSERT_THAT(result.positions(), SizeIs(1));
  EXPECT_EQ(result.positions(0).offset(), 1u) << "what nobody was there for is not kept";
  EXPECT_TRUE(b_.node().WaitReceived(*session, 1));
  network_.Silence("b");
  EXPECT_EQ(Run(a_, command).code(), kUnavailable);
}

TEST_F(ClusterCommandsTest, ExceptedSessionsOfOtherNodesGetNothing) {
  auto one = b_.node().Add(), two = b_.node().Add();
  for (auto* session : {one.get(), two.get()}) ASSERT_TRUE(b_.node().Subscribe(*session, "t").ok());
  v1::Command command = Deliver(ToTopic("t"));
  command.mutable_deliver()->mutable_target()->add_except_sessions(b_.IdOf(*two));
  EXPECT_EQ(Report(a_, command).receipt->Get().matched(), 1u);
  EXPECT_TRUE(b_.node().WaitReceived(*one, 1));
  EXPECT_THAT(b_.node().ReceivedBy(*two), IsEmpty());
}

// --- the order of one stream ---

// Joins are in force on all nodes before the sends behind them, and nothing overtakes a command that
// asks who is there first.
TEST_F(ClusterCommandsTest, WhatFollowsInAStreamTakesEffectAfterIt) {
  auto on_b = b_.node().Add(), on_c = c_.node().Add();
  auto stream = a_.OpenStream();
  std::vector<std::string> expected;
  for (int round = 0; round < 20; ++round) {
    const std::string topic = fmt::format("round/{}", round);
    v1::PushRequest request;
    *request.add_commands() = JoinAll(topic);
    for (const bool online : {true, false}) {
      expected.push_back(fmt::format("{} {}", round, online));
      v1::Command* command = request.add_commands();
      *command = Deliver(ToTopic(topic), expected.back());
      command->mutable_deliver()->set_require_online(online);
    }
    v1::Command* leave = request.add_commands();
    leave->mutable_leave()->mutable_target()->set_all(true);
    leave->mutable_leave()->add_topics("another");
    ASSERT_TRUE(stream->OnRequest(request.SerializeAsString()).ok());
    std::size_t results = 0;
    ASSERT_TRUE(Eventually([&] {
      v1::PushResponse response;
      if (!stream->TakeResponse(&response)) return false;
      for (const v1::CommandResult& result : response.results())
        EXPECT_EQ(result.code(), kOk) << result.seq() << ": " << result.detail();
      results += static_cast<std::size_t>(response.results_size());
      stream->OnWritten();
      return results == 4;
    }));
    // A session may be on four topics.
    if (round % 4 == 3) {
      for (Replica* replica : {&b_, &c_}) {
        RecordingSession& session = replica == &b_ ? *on_b : *on_c;
        ASSERT_TRUE(replica->node().WaitReceived(session, expected.size()));
        for (int i = round - 3; i <= round; ++i) {
          RunOn(replica->node().shard(), [&] { session.Leave(fmt::format("round/{}", i)); });
        }
      }
    }
  }
  for (Replica* replica : {&b_, &c_}) {
    std::vector<std::string> payloads;
    for (const Received& received : replica->node().ReceivedBy(replica == &b_ ? *on_b : *on_c))
      payloads.push_back(received.payload);
    EXPECT_EQ(payloads, expected);
  }
}

// What goes to a broker takes its time.
TEST_F(ClusterCommandsTest, AChangeDoesNotOvertakeTheMessagesBeforeIt) {
  auto session = a_.node().Add();
  auto stream = a_.OpenStream();
  ASSERT_TRUE(a_.node().Subscribe(*session, "kept/a").ok());
  a_.broker().answers_later = true;
  auto go_on = a_.broker().Pause();
  v1::PushRequest request;
  *request.add_commands() = Deliver(ToTopic("kept/a"), "goodbye");
  v1::Command* leave = request.add_commands();
  leave->set_seq(8);
  leave->mutable_leave()->mutable_target()->set_all(true);
  leave->mutable_leave()->add_topics("kept/a");
  ASSERT_TRUE(stream->OnRequest(request.SerializeAsString()).ok());
  absl::SleepFor(absl::Milliseconds(50));
  EXPECT_EQ(a_.node().index().Find("kept/a").subscribers, 1u);
  go_on->set_value();
  ASSERT_TRUE(Eventually([&] { return a_.node().index().Find("kept/a").subscribers == 0; }));
  ASSERT_TRUE(a_.node().WaitReceived(*session, 1));
}

}  // namespace
}  // namespace herald
