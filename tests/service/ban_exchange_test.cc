#include "service/ban_exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "tests/service/replicas.h"

namespace herald {
namespace {

using ::testing::Each;
using ::testing::SizeIs;

using BanExchangeTest = ReplicasTest;

std::vector<std::string> Owners(const BanList& bans) {
  std::vector<std::string> owners;
  for (const BanList::Ban& ban : bans.List(absl::Now())) owners.push_back(ban.owner);
  return owners;
}

TEST_F(BanExchangeTest, G19ACommandBansOnAllReplicasInTheNameOfItsProducer) {
  v1::Command command;
  for (const char* user : {"u1", "u2"})
    command.mutable_disconnect()->mutable_target()->mutable_users()->add_user_ids(user);
  command.mutable_disconnect()->mutable_ban_for()->set_seconds(600);
  std::atomic<int> told{0};
  for (Replica* replica : {&a_, &b_, &c_})
    replica->runner().set_on_ban([&](const auto&, const auto&, const auto&) { ++told; });
  CommandRunner::Context context;
  context.producer = "greedy";
  ASSERT_EQ(Run(a_, command, context).code(), 0);
  EXPECT_EQ(told, 1) << "by the replica that it was sent to";
  for (Replica* replica : {&a_, &b_, &c_}) {
    EXPECT_THAT(Owners(replica->bans()), SizeIs(2));
    EXPECT_THAT(Owners(replica->bans()), Each("greedy"));
  }
}

TEST_F(BanExchangeTest, G19AReplicaThatStartsLearnsTheOwners) {
  const absl::Time later = absl::Now() + absl::Minutes(10);
  ASSERT_TRUE(
      a_.bans().Add({{"u1", "", later, "greedy"}, {"", "t", later, "greedy"}}, absl::Now()).ok());
  c_.ban_exchange().Learn();
  EXPECT_THAT(Owners(c_.bans()), SizeIs(2));
  EXPECT_THAT(Owners(c_.bans()), Each("greedy"));
}

}  // namespace
}  // namespace herald
