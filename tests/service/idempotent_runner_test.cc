#include "service/idempotent_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/session/node.h"

namespace herald {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

v1::Command ToTopic(std::uint64_t seq, const std::string& topic, const std::string& payload = "x") {
  v1::Command command;
  command.set_seq(seq);
  command.mutable_deliver()->mutable_target()->set_topic(topic);
  command.mutable_deliver()->mutable_message()->set_payload(payload);
  return command;
}

v1::Command WithKey(v1::Command command, std::string key) {
  command.mutable_deliver()->set_idempotency_key(std::move(key));
  return command;
}

class IdempotentRunnerTest : public ::testing::Test {
 protected:
  IdempotentRunner Caller(std::string name = "shop") {
    return IdempotentRunner(commands_, memory_, std::move(name));
  }
  static v1::CommandResult Run(IdempotentRunner& runner, const v1::Command& command) {
    Awaited<v1::CommandResult> result;
    runner.Run(command, {}, result.callback());
    return result.Get();
  }
  std::size_t Kept(const std::string& topic) {
    return node_.Read({topic, {}, 100, false}).messages.size();
  }

  Idempotency memory_{absl::Minutes(2), 1000};
  Node node_{2};
  ReceiptClock clock_;
  CommandRunner commands_{node_.broker(), node_.table(), clock_, "node-1", 1024, 128};
};

TEST_F(IdempotentRunnerTest, CommandsWithoutKeyAreCarriedOutEachTime) {
  auto runner = Caller();
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(Run(runner, ToTopic(1, "kept/a")).duplicate());
  EXPECT_EQ(Kept("kept/a"), 3u);
  EXPECT_EQ(memory_.keys(), 0u);
}

TEST_F(IdempotentRunnerTest, RepeatIsNotDeliveredAgain) {
  auto runner = Caller(), other = Caller();
  const v1::Command command = WithKey(ToTopic(1, "kept/a"), "k");
  const v1::CommandResult first = Run(runner, command), again = Run(other, command);
  EXPECT_EQ(first.code(), 0);
  EXPECT_FALSE(first.duplicate());
  EXPECT_TRUE(again.duplicate());
  EXPECT_EQ(again.message_id(), first.message_id());
  ASSERT_THAT(again.positions(), SizeIs(1));
  EXPECT_EQ(again.positions(0).token(), first.positions(0).token());
  EXPECT_EQ(Kept("kept/a"), 1u);
  auto stranger = Caller("mail");
  EXPECT_FALSE(Run(stranger, command).duplicate());
}

TEST_F(IdempotentRunnerTest, ProducerIdWinsOverTheKey) {
  auto runner = Caller();
  EXPECT_EQ(runner.Open("p").value(), 0u);
  EXPECT_FALSE(Run(runner, WithKey(ToTopic(1, "kept/a"), "k")).duplicate());
  EXPECT_FALSE(Run(runner, WithKey(ToTopic(2, "kept/a"), "k")).duplicate());
  EXPECT_TRUE(Run(runner, WithKey(ToTopic(2, "kept/a"), "k")).duplicate());
  EXPECT_EQ(Kept("kept/a"), 2u);
  auto successor = Caller();
  EXPECT_EQ(successor.Open("p").value(), 2u);
}

TEST_F(IdempotentRunnerTest, ControlCommandsOfAProducerIdAreCarriedOutOnce) {
  auto session = node_.Add();
  auto runner = Caller();
  EXPECT_TRUE(runner.Open("p").ok());
  v1::Command join;
  join.set_seq(1);
  join.mutable_join()->mutable_target()->set_all(true);
  join.mutable_join()->add_topics("a");
  EXPECT_EQ(Run(runner, join).matched(), 1u);
  v1::Command leave = join;
  leave.set_seq(2);
  *leave.mutable_leave()->mutable_target() = join.join().target();
  leave.mutable_leave()->add_topics("a");
  EXPECT_EQ(Run(runner, leave).code(), 0);
  const v1::CommandResult again = Run(runner, join);
  EXPECT_TRUE(again.duplicate());
  EXPECT_EQ(again.matched(), 1u);
  EXPECT_EQ(node_.index().Find("a").subscribers, 0u);
}

TEST_F(IdempotentRunnerTest, SeqMustNotBeZeroWithAProducerId) {
  auto runner = Caller();
  EXPECT_TRUE(runner.Open("p").ok());
  const v1::CommandResult refused = Run(runner, ToTopic(0, "kept/a"));
  EXPECT_EQ(refused.code(), 3);
  EXPECT_THAT(refused.detail(), HasSubstr("seq"));
  EXPECT_EQ(Kept("kept/a"), 0u);
}

TEST_F(IdempotentRunnerTest, OverlongNamesAreRefused) {
  auto runner = Caller();
  const absl::Status bad = runner.Open(std::string(129, 'p')).status();
  EXPECT_EQ(bad.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(bad.message()), HasSubstr("open.producer_id"));
  const v1::Command command = WithKey(ToTopic(1, "kept/a"), std::string(129, 'k'));
  EXPECT_EQ(Run(runner, command).code(), 3);
  EXPECT_THAT(Run(runner, command).detail(), HasSubstr("idempotency_key"));
  EXPECT_TRUE(runner.Open("p").ok());
  EXPECT_EQ(Run(runner, command).code(), 3);
  auto successor = Caller();
  EXPECT_EQ(successor.Open("p").value(), 0u) << "it failed, so it is not what the server has";
}

TEST_F(IdempotentRunnerTest, FailedCommandIsRetried) {
  auto runner = Caller();
  v1::Command command = WithKey(ToTopic(1, "kept/a"), "k");
  command.mutable_deliver()->set_require_online(true);
  EXPECT_EQ(Run(runner, command).code(), 5);
  auto session = node_.Add();
  ASSERT_TRUE(node_.Subscribe(*session, "kept/a").ok());
  const v1::CommandResult retried = Run(runner, command);
  EXPECT_EQ(retried.code(), 0);
  EXPECT_FALSE(retried.duplicate());
  EXPECT_TRUE(node_.WaitReceived(*session, 1));
}

TEST_F(IdempotentRunnerTest, HoldsWhileARepeatWaitsForAnotherStream) {
  auto session = node_.Add();
  auto old = Caller(), successor = Caller();
  EXPECT_TRUE(old.Open("p").ok());
  EXPECT_TRUE(successor.Open("p").ok());
  v1::Command command = ToTopic(1, "");
  command.mutable_deliver()->mutable_target()->set_session_id(session->id().ToString("node-1"));
  Awaited<v1::CommandResult> first, repeat;
  {
    Busy busy(node_.shard());
    old.Run(command, {}, first.callback());
    successor.Run(command, {}, repeat.callback());
    EXPECT_TRUE(successor.Holds());
    EXPECT_FALSE(old.Holds());
  }
  EXPECT_FALSE(first.Get().duplicate());
  EXPECT_TRUE(repeat.Get().duplicate());
  EXPECT_FALSE(successor.Holds());
  EXPECT_THAT(node_.ReceivedBy(*session), SizeIs(1));
}

}  // namespace
}  // namespace herald
