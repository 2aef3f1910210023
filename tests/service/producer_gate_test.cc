#include "service/producer_gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "service/command_cost.h"
#include "service/rate_limit.h"

namespace herald {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t kSecond = 1'000'000'000;

TEST(ProducerRateTest, G6HoldsOneSecondOfItsRate) {
  ProducerRate limit;
  int taken = 0;
  while (limit.Take(1, 100, kSecond) == absl::ZeroDuration()) ++taken;
  EXPECT_EQ(taken, 100);
  EXPECT_NEAR(absl::ToDoubleMilliseconds(limit.Take(1, 100, kSecond)), 1, 0.1);
  // A tenth of a second later there is a tenth of the rate.
  for (taken = 0; limit.Take(1, 100, kSecond + kSecond / 10) == absl::ZeroDuration();) ++taken;
  EXPECT_EQ(taken, 10);
}

TEST(ProducerRateTest, G6WhatIsLargerThanTheBucketPassesOnceAndLeavesADebt) {
  ProducerRate limit;
  EXPECT_EQ(limit.Take(5000, 1000, kSecond), absl::ZeroDuration());
  EXPECT_GE(limit.Take(1, 1000, kSecond), absl::Seconds(4));
  EXPECT_EQ(limit.Take(1, 1000, 6 * kSecond), absl::ZeroDuration());
}

TEST(ProducerRateTest, G6ReadingWaitsForWhatWasCharged) {
  ProducerRate limit;
  limit.Charge(150, 100, kSecond);
  EXPECT_EQ(limit.Wait(kSecond), absl::ZeroDuration());
  limit.Charge(150, 100, kSecond);
  EXPECT_EQ(limit.Wait(kSecond), absl::Seconds(1));
  EXPECT_EQ(limit.Wait(2 * kSecond), absl::ZeroDuration());
}

class ProducerGateTest : public ::testing::Test {
 protected:
  static std::shared_ptr<const ProducerTable> Table(ProducerRights rights) {
    ProducerEntry entry;
    entry.rights = std::move(rights);
    entry.token_hashes = {HashToken("token-of-a-producer")};
    return std::make_shared<const ProducerTable>(std::vector<ProducerEntry>{std::move(entry)});
  }
  static ProducerRights Rights() {
    ProducerRights rights;
    rights.name = "a";
    rights.may.set();
    rights.reach = {*PatternSet::Parse({"a/**"}), *PatternSet::Parse({"a/**"})};
    return rights;
  }
  static ProducerGate Gate(const ProducerAuth& auth) {
    ProducerCredential credential{"Bearer token-of-a-producer", {}};
    Producer producer = *auth.Check(credential);
    return {auth, std::move(credential), std::move(producer)};
  }
  static v1::Command To(const std::string& topic) {
    v1::Command command;
    command.mutable_deliver()->mutable_target()->set_topic(topic);
    return command;
  }
};

TEST_F(ProducerGateTest, G6AnOpenGateRefusesNothing) {
  ProducerGate gate("shop");
  EXPECT_TRUE(gate.open());
  EXPECT_TRUE(gate.Admit(To("anything")).ok());
  EXPECT_EQ(gate.touches(), nullptr);
  EXPECT_EQ(gate.sees(), nullptr);
  EXPECT_TRUE(gate.Refresh().ok());
}

TEST_F(ProducerGateTest, G6CountsWhatIsDeniedAndLimited) {
  ProducerRights rights = Rights();
  rights.limits.commands_per_second = 2;
  const ProducerAuth auth(Table(rights));
  ProducerGate gate = Gate(auth);
  EXPECT_EQ(gate.Admit(To("b")).code(), absl::StatusCode::kPermissionDenied);
  // A bucket that is not quite empty lets one more through.
  absl::Status limited = gate.Admit(To("a"));
  EXPECT_TRUE(limited.ok());
  for (int i = 0; i < 2 && limited.ok(); ++i) limited = gate.Admit(To("a"));
  EXPECT_EQ(limited.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(limited.message()), HasSubstr("commands_per_second of 2"));
  EXPECT_TRUE(limited.GetPayload("type.googleapis.com/google.rpc.RetryInfo").has_value());
  const ProducerAccount& account = *auth.accounts().at("a");
  EXPECT_EQ(account.denied[static_cast<std::size_t>(Right::kTopics)], 1u);
  EXPECT_EQ(account.limited[static_cast<std::size_t>(ProducerLimit::kCommands)], 1u);
}

TEST_F(ProducerGateTest, G6TakesTheRightsOfTheNewFile) {
  ProducerAuth auth(Table(Rights()));
  ProducerGate gate = Gate(auth);
  EXPECT_FALSE(gate.Check(To("b")).ok());
  ProducerRights wider = Rights();
  wider.reach.topics = PatternSet::Everything();
  auth.Replace(Table(wider));
  EXPECT_FALSE(gate.Check(To("b")).ok()) << "only after Refresh";
  EXPECT_TRUE(gate.Refresh().ok());
  EXPECT_TRUE(gate.Check(To("b")).ok());
  ProducerRights renamed = wider;
  renamed.name = "other";
  auth.Replace(Table(renamed));
  EXPECT_EQ(gate.Refresh().code(), absl::StatusCode::kUnauthenticated);
}

TEST_F(ProducerGateTest, G6LimitsSessionsAndAnswersOnlyWherePatternsDo) {
  ProducerRights rights = Rights();
  EXPECT_NE(Gate(ProducerAuth(Table(rights))).touches(), nullptr);
  rights.selectors = true;
  EXPECT_EQ(Gate(ProducerAuth(Table(rights))).touches(), nullptr);
  EXPECT_NE(Gate(ProducerAuth(Table(rights))).sees(), nullptr);
  rights.reach = {PatternSet::Everything(), PatternSet::Everything()};
  EXPECT_EQ(Gate(ProducerAuth(Table(rights))).sees(), nullptr);
}

// A list of a thousand topics makes a thousand publications.
TEST_F(ProducerGateTest, G19ACommandCostsWhatItMakes) {
  v1::Command command;
  v1::Target& target = *command.mutable_deliver()->mutable_target();
  for (int i = 0; i < 1000; ++i) target.mutable_topics()->add_topics("a/" + std::to_string(i));
  EXPECT_EQ(CommandCost(command), 1000u);
  EXPECT_EQ(CommandCost(To("a/1")), 1u);
  EXPECT_EQ(CommandCost({}), 1u);
  v1::Command join;
  for (const char* user : {"a/u", "a/v"})
    join.mutable_join()->mutable_target()->mutable_users()->add_user_ids(user);
  for (const char* topic : {"a/1", "a/2", "a/3"}) join.mutable_join()->add_topics(topic);
  EXPECT_EQ(CommandCost(join), 6u);

  ProducerRights rights = Rights();
  rights.limits.commands_per_second = 100;
  const ProducerAuth auth(Table(rights));
  ProducerGate gate = Gate(auth);
  EXPECT_TRUE(gate.Admit(command).ok()) << "it is not more than the bucket holds by itself";
  EXPECT_EQ(gate.Admit(To("a/1")).code(), absl::StatusCode::kResourceExhausted);

  const ProducerAuth other(Table(rights));
  ProducerGate reads = Gate(other);
  v1::PushRequest request;
  *request.add_commands() = command;
  reads.ChargeRead(request);
  EXPECT_GT(reads.ReadDelay(), absl::Seconds(5));

  const ProducerAuth third(Table(rights));
  ProducerGate unary = Gate(third);
  EXPECT_TRUE(unary.TakeRate(0).ok());
  unary.ChargeTargets(command);
  EXPECT_FALSE(unary.TakeRate(0).ok());
}

TEST_F(ProducerGateTest, G19EachProducerHasALineOfRefusalsOfItsOwn) {
  ProducerEntry first, second;
  first.rights = second.rights = Rights();
  second.rights.name = "b";
  first.token_hashes = {HashToken("token-of-a-producer")};
  second.token_hashes = {HashToken("token-of-another-one")};
  ProducerAuth auth(std::make_shared<const ProducerTable>(std::vector{first, second}));
  std::vector<std::string> told;
  auth.set_on_refused([&](std::string_view producer, std::string_view, std::string_view) {
    told.emplace_back(producer);
  });
  const auto gate = [&](const char* token) {
    ProducerCredential credential{std::string("Bearer ") + token, {}};
    Producer producer = *auth.Check(credential);
    return ProducerGate(auth, std::move(credential), std::move(producer));
  };
  ProducerGate loud = gate("token-of-a-producer"), quiet = gate("token-of-another-one");
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(loud.Admit(To("b")).ok());
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(auth.Check({"Bearer of-nobody", {}}).ok());
  EXPECT_FALSE(quiet.Admit(To("b")).ok());
  EXPECT_THAT(told, ::testing::ElementsAre("a", "-", "b"));
}

}  // namespace
}  // namespace herald
