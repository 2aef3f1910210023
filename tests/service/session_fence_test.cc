#include "service/session_fence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/service/replicas.h"

namespace herald {
namespace {

using ::testing::Pair;
using ::testing::UnorderedElementsAre;

class SessionFenceTest : public ReplicasTest {
 protected:
  static bool Ended(Replica& replica, RecordingSession& session) {
    return RunOn(replica.node().shard(session.id().shard),
                 [&] { return !session.closes().empty(); });
  }
};

TEST_F(SessionFenceTest, ASessionThatWasResumedElsewhereIsEnded) {
  auto before = a_.node().Add({}, 1, "alice");
  b_.fence().Fence(a_.IdOf(*before), "alice");
  ASSERT_TRUE(Eventually([&] { return Ended(a_, *before); }));
  EXPECT_EQ(before->closes()[0].code, CloseCode::kResumedElsewhere);
}

TEST_F(SessionFenceTest, NobodyEndsTheSessionOfAnother) {
  auto alice = a_.node().Add({}, 0, "alice"), nobody = a_.node().Add({}, 0, ""),
       last = a_.node().Add({}, 0, "alice");
  b_.fence().Fence(a_.IdOf(*alice), "bob");
  b_.fence().Fence(a_.IdOf(*alice), "");
  b_.fence().Fence(a_.IdOf(*nobody), "");
  b_.fence().Fence("garbage", "alice");
  std::string far = a_.IdOf(*alice);
  far.replace(far.size() - 35, 2, "3f");  // no such shard
  b_.fence().Fence(far, "alice");
  b_.fence().Fence(a_.IdOf(*last), "alice");
  ASSERT_TRUE(Eventually([&] { return Ended(a_, *last); }));
  EXPECT_FALSE(Ended(a_, *alice));
  EXPECT_FALSE(Ended(a_, *nobody));
}

// Its acknowledgements go to the new node, where nobody knows of the receipt.
TEST_F(SessionFenceTest, WhatItWasOwedIsGivenUp) {
  auto before = a_.node().Add({}, 0, "alice");
  v1::Command command;
  command.mutable_deliver()->mutable_target()->set_user_id("alice");
  command.mutable_deliver()->mutable_message()->set_payload("x");
  command.mutable_deliver()->set_report(v1::REPORT_LEVEL_ACKED);
  Awaited<v1::CommandResult> result;
  Awaited<v1::Receipt> receipt;
  c_.runner().Run(command, {}, result.callback(), receipt.callback());
  ASSERT_TRUE(a_.node().WaitReceived(*before, 1));
  RunOn(a_.node().shard(), [&] { a_.node().shard().Remove(*before); });
  EXPECT_FALSE(receipt.Ready()) << "it may come back";
  b_.fence().Fence(a_.IdOf(*before), "alice");
  const v1::Receipt told = receipt.Get();
  EXPECT_EQ(told.matched(), 1u);
  EXPECT_EQ(told.written(), 1u);
  EXPECT_EQ(told.acked(), 0u);
  EXPECT_THAT(told.dropped(), UnorderedElementsAre(Pair("disconnected", 1u)));
}

}  // namespace
}  // namespace herald
