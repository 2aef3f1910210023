// What Herald reads in, and leaves out of, words of NATS; and what it takes for the same log.
#include <gmock/gmock.h>

#include "broker/log_witness.h"
#include "broker/nats_denied.h"
#include "broker/nats_server_info.h"
#include "broker/nats_url.h"

namespace herald {
namespace {

using ::testing::ElementsAre;

TEST(NatsUrlTest, G7LeavesOutSecrets) {
  EXPECT_EQ(WithoutSecrets("nats://a:4222"), "nats://a:4222");
  EXPECT_EQ(WithoutSecrets("nats://user:pass@a:4222"), "nats://...@a:4222");
  EXPECT_EQ(WithoutSecrets("NATS at tls://token@a, nats://u:p,/@b@c:1: refused"),
            "NATS at tls://...@a, nats://...@c:1: refused");
  EXPECT_EQ(WithoutSecrets("mail me@example.com"), "mail me@example.com");
}

TEST(NatsUrlTest, FindsHostAndPort) {
  EXPECT_EQ(HostAndPort("nats://u:p@a.example:1/x"), "a.example:1");
  EXPECT_EQ(HostAndPort("tls://[::1]"), "[::1]:4222");
  EXPECT_EQ(HostAndPort("[::1]:5"), "[::1]:5");
}

TEST(NatsServerInfoTest, A0ReadsTheVersion) {
  const auto info = ParseNatsInfo(R"(INFO {"version":"2.9.10","cluster":"herald"})");
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->version, "2.9.10");
  EXPECT_TRUE(info->clustered);
  EXPECT_FALSE(ParseNatsInfo(R"(INFO {"version":"2.12.3"})")->clustered);
  EXPECT_FALSE(ParseNatsInfo("HTTP/1.1 400").ok());
}

TEST(NatsServerInfoTest, A0ComparesVersions) {
  for (const char* old : {"2.9.10", "2.11.9", "1.99.0"}) EXPECT_TRUE(OlderThan(old, 2, 12)) << old;
  for (const char* good : {"2.12.0", "2.12.3-RC.1", "2.100.0", "3.0.0", "", "unknown", "2"})
    EXPECT_FALSE(OlderThan(good, 2, 12)) << good;
}

TEST(NatsDeniedTest, A1ReadsTheSubject) {
  EXPECT_EQ(NatsDenied::SubjectOf(R"('Permissions Violation for Publish to "a.B"')"), "a.B");
  EXPECT_EQ(NatsDenied::SubjectOf(R"(permissions violation for subscription to "a")"),
            std::nullopt);
  NatsDenied denied;
  EXPECT_FALSE(denied.Contains("a"));
  denied.Add("a");
  EXPECT_TRUE(denied.Contains("a"));
  EXPECT_FALSE(denied.Contains("b"));
  denied.Clear();
  EXPECT_FALSE(denied.Contains("a"));
}

TEST(LogWitnessTest, A0WhatIsSeenAfterACheckDoesNotReplaceItsEvidence) {
  LogWitness witness;
  witness.Reset({1, 0, 9});
  EXPECT_TRUE(witness.Evidence().empty());
  const Position checked{1, 4, 40}, later{1, 7, 70};
  witness.Saw(checked);
  witness.Confirm(witness.Evidence());
  witness.Saw(later);
  witness.Saw({2, 9, 90});  // of another log
  EXPECT_THAT(witness.Evidence(), ElementsAre(checked, later));
  const Position accused{1, 5, 50};
  witness.Accuse(accused);
  EXPECT_THAT(witness.Evidence(), ElementsAre(checked, accused, later));
  witness.Confirm({checked, later});  // began before the accusation
  EXPECT_THAT(witness.Evidence(), ElementsAre(accused, later));
  witness.Confirm(witness.Evidence());
  EXPECT_THAT(witness.Evidence(), ElementsAre(later));
}

TEST(LogWitnessTest, A0NoticesThatNumbersAreGivenAgain) {
  LogWitness witness;
  witness.Reset({1, 0, 9});
  EXPECT_TRUE(witness.Receive(3));
  EXPECT_TRUE(witness.Receive(5));
  EXPECT_FALSE(witness.Receive(5));
  EXPECT_FALSE(witness.Receive(4));
  EXPECT_TRUE(witness.Receive(6));
  witness.Reset({2, 0, 9});
  EXPECT_TRUE(witness.Receive(1));
}

}  // namespace
}  // namespace herald
