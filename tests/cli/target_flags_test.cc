#include "cli/target_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace herald::cli {
namespace {

constexpr char kSession[] = "herald-0-0f-00112233445566778899aabbccddeeff";

// What `heraldctl send <args>` means; a parse error counts as kInvalidArgument too.
absl::StatusOr<v1::Target> Parse(std::vector<std::string> args) {
  CLI::App app;
  TargetFlags flags;
  flags.Declare(app);
  std::reverse(args.begin(), args.end());  // CLI11 takes vectors from the back
  try {
    app.parse(args);
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(error.what());
  }
  return flags.Build();
}

v1::Target MustParse(std::vector<std::string> args) {
  auto target = Parse(std::move(args));
  EXPECT_TRUE(target.ok()) << target.status();
  return target.ok() ? *target : v1::Target();
}

TEST(TargetFlagsTest, EachKindOfTarget) {
  EXPECT_EQ(MustParse({"--user", "alice"}).user_id(), "alice");
  EXPECT_THAT(MustParse({"--users", "alice,bob"}).users().user_ids(),
              testing::ElementsAre("alice", "bob"));
  EXPECT_EQ(MustParse({"--session", kSession}).session_id(), kSession);
  EXPECT_EQ(MustParse({"--topic", "orders/42"}).topic(), "orders/42");
  EXPECT_THAT(MustParse({"--topics", "a", "--topics", "b,c"}).topics().topics(),
              testing::ElementsAre("a", "b", "c"));
  EXPECT_TRUE(MustParse({"--all"}).all());
}

TEST(TargetFlagsTest, SelectorKeepsItsCommas) {
  EXPECT_EQ(MustParse({"--where", "platform=web,tier in (gold,silver),!beta"}).selector(),
            "platform=web,tier in (gold,silver),!beta");
}

TEST(TargetFlagsTest, ANameWithAComma) {
  EXPECT_EQ(MustParse({"--user", "a,b"}).user_id(), "a,b");
  EXPECT_EQ(MustParse({"--topic", "[x,y]"}).topic(), "[x,y]");
}

TEST(TargetFlagsTest, NoTargetSaysWhatToGive) {
  const auto target = Parse({});
  EXPECT_EQ(target.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(target.status().message()), testing::HasSubstr("--user"));
}

TEST(TargetFlagsTest, MoreThanOneTargetIsRefused) {
  EXPECT_FALSE(Parse({"--user", "alice", "--all"}).ok());
  EXPECT_FALSE(Parse({"--user", "alice", "--user", "bob"}).ok());
  EXPECT_FALSE(Parse({"--topic", "a", "--topics", "b"}).ok());
}

TEST(TargetFlagsTest, EmptyNamesAreRefused) {
  EXPECT_FALSE(Parse({"--user", ""}).ok());
  EXPECT_FALSE(Parse({"--topic="}).ok());
  EXPECT_FALSE(Parse({"--all", "--except-user", ""}).ok());
}

TEST(TargetFlagsTest, ExceptTellsSessionsFromUsers) {
  const v1::Target target = MustParse({"--all", "--except", std::string(kSession) + ",bob"});
  EXPECT_THAT(target.except_sessions(), testing::ElementsAre(kSession));
  EXPECT_THAT(target.except_users(), testing::ElementsAre("bob"));
}

TEST(TargetFlagsTest, ExplicitExceptionsAreNotGuessed) {
  const v1::Target target =
      MustParse({"--all", "--except-user", kSession, "--except-session", "odd"});
  EXPECT_THAT(target.except_users(), testing::ElementsAre(kSession));
  EXPECT_THAT(target.except_sessions(), testing::ElementsAre("odd"));
}

TEST(TargetFlagsTest, WhatLooksLikeASession) {
  EXPECT_TRUE(LooksLikeSessionId(kSession));
  EXPECT_TRUE(LooksLikeSessionId("n-00-00112233445566778899aabbccddeeff"));
  EXPECT_FALSE(LooksLikeSessionId("-00-00112233445566778899aabbccddeeff"));   // no node
  EXPECT_FALSE(LooksLikeSessionId("n-0-00112233445566778899aabbccddeeff"));   // shard of 1 digit
  EXPECT_FALSE(LooksLikeSessionId("n-00-00112233445566778899aabbccddeef"));   // 31 digits
  EXPECT_FALSE(LooksLikeSessionId("n-00-00112233445566778899AABBCCDDEEFF"));  // upper case
  EXPECT_FALSE(LooksLikeSessionId("00112233-4455-6677-8899-aabbccddeeff"));   // a UUID
  EXPECT_FALSE(LooksLikeSessionId(""));
}

}  // namespace
}  // namespace herald::cli
