#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "service/command_runner.h"
#include "tests/session/node.h"

namespace herald {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

// What producers learn of what became of a message: CommandRunner, broker, shards and sessions.
class ReportTest : public ::testing::Test {
 protected:
  struct Sent {
    v1::CommandResult result;
    std::shared_ptr<Awaited<v1::Receipt>> receipt = std::make_shared<Awaited<v1::Receipt>>();
  };

  static v1::Command Deliver(v1::ReportLevel level, std::string topic, std::string payload = "hi") {
    v1::Command command;
    command.set_seq(7);
    v1::Deliver& deliver = *command.mutable_deliver();
    deliver.mutable_target()->set_topic(std::move(topic));
    deliver.mutable_message()->set_payload(std::move(payload));
    deliver.set_report(level);
    return command;
  }
  static v1::Command ToUser(v1::ReportLevel level, std::string user) {
    v1::Command command = Deliver(level, "unused");
    command.mutable_deliver()->mutable_target()->set_user_id(std::move(user));
    return command;
  }

  Sent Send(const v1::Command& command) {
    Sent sent;
    Awaited<v1::CommandResult> result;
    runner_.Run(command, {}, result.callback(),
                [receipt = sent.receipt, callback = sent.receipt->callback()](
                    v1::Receipt told) mutable { callback(std::move(told)); });
    sent.result = result.Get();
    return sent;
  }
  // As if all timeouts had passed.
  void Expire() { clock_.Advance(absl::Now() + absl::Minutes(2)); }
  void Acknowledge(RecordingSession& session, const std::string& topic, std::uint64_t offset) {
    RunOn(node_.shard(session.id().shard), [&] { session.Acknowledge(topic, offset); });
  }
  RecordingSessionPtr Stalled(std::size_t max_bytes, int shard = 0, std::string user = "") {
    return node_.Add({.max_outbound_bytes = max_bytes, .capacity = 0}, shard, std::move(user));
  }

  Node node_{2};
  ReceiptClock clock_;
  CommandRunner runner_{node_.broker(), node_.table(), clock_, "node-1", 1024, 128};
};

TEST_F(ReportTest, WrittenCountsSocketsOnAllShards) {
  auto one = node_.Add({}, 0), two = node_.Add({}, 1);
  for (auto* session : {one.get(), two.get()}) ASSERT_TRUE(node_.Subscribe(*session, "t").ok());
  const Sent sent = Send(Deliver(v1::REPORT_LEVEL_WRITTEN, "t"));
  EXPECT_EQ(sent.result.code(), 0) << sent.result.detail();
  const v1::Receipt receipt = sent.receipt->Get();
  EXPECT_EQ(receipt.seq(), 7u);
  EXPECT_EQ(receipt.matched(), 2u);
  EXPECT_EQ(receipt.written(), 2u);
  EXPECT_EQ(receipt.acked(), 0u);
  EXPECT_THAT(receipt.dropped(), IsEmpty());
  EXPECT_TRUE(receipt.final());
}

TEST_F(ReportTest, ASessionThatTakesNothingHoldsItUntilItsTime) {
  auto quick = node_.Add({}, 0);
  auto stalled = Stalled(1000, 1);
  for (auto* session : {quick.get(), stalled.get()})
    ASSERT_TRUE(node_.Subscribe(*session, "t").ok());
  const Sent sent = Send(Deliver(v1::REPORT_LEVEL_WRITTEN, "t"));
  ASSERT_TRUE(node_.WaitReceived(*quick, 1));
  ASSERT_TRUE(Eventually(
      [&] { return RunOn(node_.shard(1), [&] { return stalled->queue().frames(); }) == 1; }));
  EXPECT_FALSE(sent.receipt->Ready());
  Expire();
  const v1::Receipt receipt = sent.receipt->Get();
  EXPECT_EQ(receipt.matched(), 2u);
  EXPECT_EQ(receipt.written(), 1u);
  EXPECT_THAT(receipt.dropped(), UnorderedElementsAre(Pair("timeout", 1u)));
}

TEST_F(ReportTest, AcksAreCumulativePerTopic) {
  auto session = node_.Add();
  ASSERT_TRUE(node_.Subscribe(*session, "kept/a").ok());
  ASSERT_TRUE(node_.Subscribe(*session, "kept/b").ok());
  std::vector<Sent> sent;
  for (int i = 0; i < 3; ++i) sent.push_back(Send(Deliver(v1::REPORT_LEVEL_ACKED, "kept/a")));
  const Sent other = Send(Deliver(v1::REPORT_LEVEL_ACKED, "kept/b"));
  ASSERT_TRUE(node_.WaitReceived(*session, 4));
  Acknowledge(*session, "kept/a", 2);
  for (int i = 0; i < 2; ++i) {
    const v1::Receipt receipt = sent[static_cast<std::size_t>(i)].receipt->Get();
    EXPECT_EQ(receipt.matched(), 1u);
    EXPECT_EQ(receipt.written(), 1u);
    EXPECT_EQ(receipt.acked(), 1u);
    EXPECT_THAT(receipt.dropped(), IsEmpty());
  }
  EXPECT_FALSE(sent[2].receipt->Ready());
  EXPECT_FALSE(other.receipt->Ready());
  Acknowledge(*session, "kept/b", 1);
  EXPECT_EQ(other.receipt->Get().acked(), 1u);
}

// It may have been on its way when the client left, and then the client has never handled it.
TEST_F(ReportTest, WhoLeavesAndComesBackDoesNotAcknowledgeWhatItWasSentBefore) {
  for (const bool queued : {false, true}) {
    auto session = queued ? Stalled(1000) : node_.Add();
    const std::string topic = queued ? "kept/queued" : "kept/written";
    ASSERT_TRUE(node_.Subscribe(*session, topic).ok());
    const Sent before = Send(Deliver(v1::REPORT_LEVEL_ACKED, topic));
    if (!queued) {
      ASSERT_TRUE(node_.WaitReceived(*session, 1));
    }
    RunOn(node_.shard(), [&] { session->Leave(topic); });
    ASSERT_TRUE(node_.Subscribe(*session, topic).ok());
    const Sent after = Send(Deliver(v1::REPORT_LEVEL_ACKED, topic));
    RunOn(node_.shard(), [&] { session->Allow(RecordingSession::kUnlimited); });
    ASSERT_TRUE(node_.WaitReceived(*session, 2));
    Acknowledge(*session, topic, 2);
    const v1::Receipt receipt = before.receipt->Get();
    EXPECT_EQ(receipt.written(), 1u);
    EXPECT_EQ(receipt.acked(), 0u);
    EXPECT_THAT(receipt.dropped(), UnorderedElementsAre(Pair("disconnected", 1u)));
    EXPECT_EQ(after.receipt->Get().acked(), 1u);
  }
}

// It says that the client has handled what it cannot have seen.
TEST_F(ReportTest, AnAckAheadOfTheSocketCountsNothing) {
  auto session = Stalled(1000);
  ASSERT_TRUE(node_.Subscribe(*session, "kept/a").ok());
  const Sent sent = Send(Deliver(v1::REPORT_LEVEL_ACKED, "kept/a"));
  Acknowledge(*session, "kept/a", 100);
  Expire();
  const v1::Receipt receipt = sent.receipt->Get();
  EXPECT_EQ(receipt.acked(), 0u);
  EXPECT_EQ(receipt.written(), 0u);
  EXPECT_THAT(receipt.dropped(), UnorderedElementsAre(Pair("timeout", 1u)));
}

TEST_F(ReportTest, AnAbsentUserIsToldAtOnce) {
  const Sent sent = Send(ToUser(v1::REPORT_LEVEL_ACKED, "nobody"));
  EXPECT_EQ(sent.result.code(), 0);
  const v1::Receipt receipt = sent.receipt->Get();
  EXPECT_EQ(receipt.matched(), 0u);
  EXPECT_THAT(receipt.dropped(), UnorderedElementsAre(Pair("no_session", 1u)));
}

TEST_F(ReportTest, OfSeveralUsersEachAbsentOneCounts) {
  auto alice = node_.Add({}, 0, "alice");
  v1::Command command = Deliver(v1::REPORT_LEVEL_WRITTEN, "unused");
  for (const char* user : {"alice", "bob", "carol"})
    command.mutable_deliver()->mutable_target()->mutable_users()->add_user_ids(user);
  const v1::Receipt receipt = Send(command).receipt->Get();
  EXPECT_EQ(receipt.matched(), 1u);
  EXPECT_EQ(receipt.written(), 1u);
  EXPECT_THAT(receipt.dropped(), UnorderedElementsAre(Pair("no_session", 2u)));
}

TEST_F(ReportTest, ACommandThatFailsHasNoReceipt) {
  v1::Command command = ToUser(v1::REPORT_LEVEL_WRITTEN, "nobody");
  command.mutable_deliver()->set_require_online(true);
  const Sent sent = Send(command);
  EXPECT_EQ(sent.result.code(), 5);
  Expire();
  EXPECT_FALSE(sent.receipt->Ready());
}

TEST_F(ReportTest, AckedNeedsAPosition) {
  auto alice = node_.Add({}, 0, "alice");
  const auto refused = [&](const v1::Command& command) {
    const Sent sent = Send(command);
    EXPECT_EQ(sent.result.code(), 3);
    return sent.result.detail();
  };
  EXPECT_THAT(refused(Deliver(v1::REPORT_LEVEL_ACKED, "no-history")), HasSubstr("no-history"));
  v1::Command command = ToUser(v1::REPORT_LEVEL_ACKED, "alice");
  command.mutable_deliver()->mutable_policy()->set_skip_history(true);
  EXPECT_THAT(refused(command), HasSubstr("report"));
  command = ToUser(v1::REPORT_LEVEL_ACKED, "alice");
  command.mutable_deliver()->mutable_target()->set_selector("a=b");
  EXPECT_THAT(refused(command), HasSubstr("report"));
  command = ToUser(v1::REPORT_LEVEL_WRITTEN, "alice");
  command.mutable_deliver()->mutable_report_timeout()->set_seconds(61);
  EXPECT_THAT(refused(command), HasSubstr("report_timeout"));
  command.mutable_deliver()->set_report(static_cast<v1::ReportLevel>(9));
  EXPECT_THAT(refused(command), HasSubstr("report"));
}

TEST_F(ReportTest, SessionAndSelectorTargetsReportToo) {
  auto session = node_.Add();
  v1::Command command = Deliver(v1::REPORT_LEVEL_WRITTEN, "unused");
  command.mutable_deliver()->mutable_target()->set_session_id(session->id().ToString("node-1"));
  EXPECT_EQ(Send(command).receipt->Get().written(), 1u);
  command.mutable_deliver()->mutable_target()->set_selector("!absent");
  EXPECT_EQ(Send(command).receipt->Get().written(), 1u);
  command.mutable_deliver()->mutable_target()->set_selector("absent");
  EXPECT_THAT(Send(command).receipt->Get().dropped(), UnorderedElementsAre(Pair("no_session", 1u)));
}

TEST_F(ReportTest, ExceptionsAreNotMatched) {
  auto alice = node_.Add({}, 0, "alice"), bob = node_.Add({}, 1, "bob");
  for (auto* session : {alice.get(), bob.get()}) ASSERT_TRUE(node_.Subscribe(*session, "t").ok());
  v1::Command command = Deliver(v1::REPORT_LEVEL_WRITTEN, "t");
  command.mutable_deliver()->mutable_target()->add_except_users("bob");
  const v1::Receipt receipt = Send(command).receipt->Get();
  EXPECT_EQ(receipt.matched(), 1u);
  EXPECT_EQ(receipt.written(), 1u);
  EXPECT_THAT(receipt.dropped(), IsEmpty());
}

// --- what became of those that did not arrive ---

TEST_F(ReportTest, DropOldestCountsExactlyWhatWentAndTellsTheClient) {
  auto session = Stalled(60);
  ASSERT_TRUE(node_.Subscribe(*session, "t").ok());
  std::vector<Sent> sent;
  for (int i = 0; i < 10; ++i) {
    v1::Command command = Deliver(v1::REPORT_LEVEL_WRITTEN, "t", std::to_string(i));
    command.mutable_deliver()->mutable_policy()->set_overflow(v1::OVERFLOW_DROP_OLDEST);
    sent.push_back(Send(command));
  }
  RunOn(node_.shard(), [&] { session->Allow(RecordingSession::kUnlimited); });
  std::uint64_t written = 0, dropped = 0;
  for (const Sent& one : sent) {
    const v1::Receipt receipt = one.receipt->Get();
    EXPECT_EQ(receipt.matched(), 1u);
    written += receipt.written();
    const auto it = receipt.dropped().find("slow_consumer");
    if (it != receipt.dropped().end()) dropped += it->second;
  }
  EXPECT_EQ(written + dropped, 10u);
  EXPECT_GT(dropped, 0u);
  const auto received = RunOn(node_.shard(), [&] { return session->received(); });
  // A gap in the place of what went, then the newest, none missing.
  ASSERT_EQ(received.size(), written + 1);
  EXPECT_EQ(received[0].payload, "gap");
  for (std::size_t i = 1; i < received.size(); ++i)
    EXPECT_EQ(received[i].payload, std::to_string(10 - received.size() + i));
  EXPECT_THAT(session->closes(), IsEmpty());
}

TEST_F(ReportTest, DropNewestKeepsWhatIsQueuedAndTellsTheClient) {
  auto session = Stalled(40);
  ASSERT_TRUE(node_.Subscribe(*session, "t").ok());
  std::vector<Sent> sent;
  const auto send = [&](std::string payload) {
    v1::Command command = Deliver(v1::REPORT_LEVEL_WRITTEN, "t", std::move(payload));
    command.mutable_deliver()->mutable_policy()->set_overflow(v1::OVERFLOW_DROP_NEWEST);
    sent.push_back(Send(command));
  };
  for (int i = 0; i < 10; ++i) send(std::to_string(i));
  const std::uint64_t kept = 5;  // of 7 bytes each, and the next does not fit
  for (std::size_t i = kept; i < 10; ++i) {
    EXPECT_THAT(sent[i].receipt->Get().dropped(), UnorderedElementsAre(Pair("slow_consumer", 1u)));
  }
  RunOn(node_.shard(), [&] { session->Allow(RecordingSession::kUnlimited); });
  for (std::size_t i = 0; i < kept; ++i) EXPECT_EQ(sent[i].receipt->Get().written(), 1u);
  send("again");
  EXPECT_EQ(sent.back().receipt->Get().written(), 1u);
  std::vector<std::string> payloads;
  for (const Received& one : RunOn(node_.shard(), [&] { return session->received(); }))
    payloads.push_back(one.payload);
  EXPECT_THAT(payloads, testing::ElementsAre("0", "1", "2", "3", "4", "gap", "again"));
}

TEST_F(ReportTest, CollapsedAndExpiredAreCounted) {
  auto session = Stalled(1000);
  ASSERT_TRUE(node_.Subscribe(*session, "t").ok());
  std::vector<Sent> collapsing;
  for (int i = 0; i < 5; ++i) {
    v1::Command command = Deliver(v1::REPORT_LEVEL_WRITTEN, "t", std::to_string(i));
    command.mutable_deliver()->mutable_policy()->set_collapse_key("price");
    collapsing.push_back(Send(command));
  }
  v1::Command command = Deliver(v1::REPORT_LEVEL_WRITTEN, "t", "brief");
  command.mutable_deliver()->mutable_policy()->mutable_ttl()->set_nanos(20'000'000);
  const Sent brief = Send(command);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_THAT(collapsing[i].receipt->Get().dropped(),
                UnorderedElementsAre(Pair("collapsed", 1u)));
  }
  absl::SleepFor(absl::Milliseconds(40));
  RunOn(node_.shard(), [&] { session->Allow(RecordingSession::kUnlimited); });
  EXPECT_THAT(brief.receipt->Get().dropped(), UnorderedElementsAre(Pair("expired", 1u)));
  EXPECT_EQ(collapsing[4].receipt->Get().written(), 1u);
  const auto received = RunOn(node_.shard(), [&] { return session->received(); });
  ASSERT_THAT(received, SizeIs(1));
  EXPECT_EQ(received[0].payload, "4");
}

TEST_F(ReportTest, ASlowConsumerIsClosedAndCounted) {
  auto session = Stalled(30);  // anonymous: nobody can come back for it
  ASSERT_TRUE(node_.Subscribe(*session, "t").ok());
  std::vector<Sent> sent;
  sent.push_back(Send(Deliver(v1::REPORT_LEVEL_WRITTEN, "t", "x")));
  node_.Settle();  // queued: what comes next cannot be the one that always fits
  for (int i = 0; i < 8; ++i) sent.push_back(Send(Deliver(v1::REPORT_LEVEL_WRITTEN, "t", "x")));
  // Those that the shard took together are dropped together; it is gone for those that follow.
  std::uint64_t slow = 0;
  for (const Sent& one : sent) {
    const v1::Receipt receipt = one.receipt->Get();
    if (receipt.matched() == 0) continue;
    EXPECT_THAT(receipt.dropped(), UnorderedElementsAre(Pair("slow_consumer", 1u)));
    ++slow;
  }
  EXPECT_GT(slow, 1u);
  EXPECT_EQ(Send(Deliver(v1::REPORT_LEVEL_WRITTEN, "t", "x")).receipt->Get().matched(), 0u);
  ASSERT_THAT(session->closes(), SizeIs(1));
  EXPECT_EQ(session->closes()[0].code, CloseCode::kSlowConsumer);
}

// --- sessions that come back ---

TEST_F(ReportTest, WhoResumesAndAcknowledgesIsCountedThen) {
  auto before = node_.Add({}, 0, "alice");
  ASSERT_TRUE(node_.Subscribe(*before, "kept/a").ok());
  const Sent first = Send(Deliver(v1::REPORT_LEVEL_ACKED, "kept/a", "1"));
  ASSERT_TRUE(node_.WaitReceived(*before, 1));
  RunOn(node_.shard(0), [&] { before->Stall(); });
  const Sent second = Send(Deliver(v1::REPORT_LEVEL_ACKED, "kept/a", "2"));
  // The client has the first, and comes back to the other shard.
  auto after = node_.Add({}, 1, "alice");
  auto owed = RunOn(node_.shard(0), [&] { return node_.shard(0).TakeOver(before->id(), "alice"); });
  EXPECT_THAT(owed, SizeIs(2));
  EXPECT_FALSE(first.receipt->Ready());
  v1::Position last = first.result.positions(0);
  RunOn(node_.shard(1),
        [&] { after->Follow(std::move(owed), "kept/a", *Position::FromToken(last.token())); });
  ASSERT_TRUE(node_.WaitReceived(*after, 1));
  EXPECT_EQ(RunOn(node_.shard(1), [&] { return after->received(); })[0].payload, "2");
  Acknowledge(*after, "kept/a", 2);
  for (const Sent* sent : {&first, &second}) {
    const v1::Receipt receipt = sent->receipt->Get();
    EXPECT_EQ(receipt.matched(), 1u);
    EXPECT_EQ(receipt.written(), 1u);
    EXPECT_EQ(receipt.acked(), 1u);
    EXPECT_THAT(receipt.dropped(), IsEmpty());
  }
}

TEST_F(ReportTest, WhoDoesNotComeBackIsDisconnected) {
  auto session = node_.Add({}, 0, "alice");
  ASSERT_TRUE(node_.Subscribe(*session, "kept/a").ok());
  const Sent sent = Send(Deliver(v1::REPORT_LEVEL_ACKED, "kept/a"));
  ASSERT_TRUE(node_.WaitReceived(*session, 1));
  RunOn(node_.shard(0), [&] { node_.shard(0).Remove(*session); });
  EXPECT_FALSE(sent.receipt->Ready()) << "it may come back";
  Expire();
  const v1::Receipt receipt = sent.receipt->Get();
  EXPECT_EQ(receipt.written(), 1u);
  EXPECT_THAT(receipt.dropped(), UnorderedElementsAre(Pair("disconnected", 1u)));
}

TEST_F(ReportTest, WhoSaidGoodbyeIsDisconnectedAtOnce) {
  auto session = node_.Add({}, 0, "alice");
  ASSERT_TRUE(node_.Subscribe(*session, "kept/a").ok());
  const Sent sent = Send(Deliver(v1::REPORT_LEVEL_ACKED, "kept/a"));
  ASSERT_TRUE(node_.WaitReceived(*session, 1));
  RunOn(node_.shard(0), [&] { session->Close({CloseCode::kNormal, "", {}}); });
  EXPECT_THAT(sent.receipt->Get().dropped(), UnorderedElementsAre(Pair("disconnected", 1u)));
}

TEST_F(ReportTest, NobodyTakesOverTheSessionOfAnother) {
  auto session = node_.Add({}, 0, "alice");
  ASSERT_TRUE(node_.Subscribe(*session, "kept/a").ok());
  const Sent sent = Send(Deliver(v1::REPORT_LEVEL_ACKED, "kept/a"));
  ASSERT_TRUE(node_.WaitReceived(*session, 1));
  const auto take = [&](std::string user) {
    return RunOn(node_.shard(0), [&] { return node_.shard(0).TakeOver(session->id(), user); });
  };
  EXPECT_THAT(take("mallory"), IsEmpty());
  EXPECT_THAT(take(""), IsEmpty());
  EXPECT_THAT(session->closes(), IsEmpty());
  RunOn(node_.shard(0), [&] { node_.shard(0).Remove(*session); });
  EXPECT_THAT(take("mallory"), IsEmpty());
  EXPECT_THAT(take("alice"), SizeIs(1));
  EXPECT_THAT(take("alice"), IsEmpty()) << "once";
}

TEST_F(ReportTest, AnotherSessionThatResumesTheTopicDoesNotCount) {
  auto live = node_.Add({}, 0, "alice");
  ASSERT_TRUE(node_.Subscribe(*live, "kept/a").ok());
  auto late = node_.Add({}, 1, "bob");
  const auto start = node_.Subscribe(*late, "kept/a");
  RunOn(node_.shard(1), [&] { late->Leave("kept/a"); });
  const Sent sent = Send(Deliver(v1::REPORT_LEVEL_ACKED, "kept/a"));
  ASSERT_TRUE(node_.WaitReceived(*live, 1));
  ASSERT_TRUE(node_.Subscribe(*late, "kept/a", start->position).ok());
  ASSERT_TRUE(node_.WaitReceived(*late, 1));
  Acknowledge(*late, "kept/a", 1);
  EXPECT_FALSE(sent.receipt->Ready());
  Acknowledge(*live, "kept/a", 1);
  const v1::Receipt receipt = sent.receipt->Get();
  EXPECT_EQ(receipt.matched(), 1u);
  EXPECT_EQ(receipt.written(), 1u);
  EXPECT_EQ(receipt.acked(), 1u);
}

}  // namespace
}  // namespace herald
