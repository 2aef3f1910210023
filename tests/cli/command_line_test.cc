#include "cli/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace herald::cli {
namespace {

TEST(CommandLineTest, ReadsCanonicalJson) {
  const auto command = ParseCommandLine(
      R"({"seq":"7","deliver":{"target":{"userId":"alice"},"message":{"payload":"aGk="},)"
      R"("policy":{"ttl":"1.5s"},"report":"REPORT_LEVEL_WRITTEN"}})",
      3);
  ASSERT_TRUE(command.ok()) << command.status();
  EXPECT_EQ(command->seq(), 7U);
  EXPECT_EQ(command->deliver().target().user_id(), "alice");
  EXPECT_EQ(command->deliver().message().payload(), "hi");
  EXPECT_EQ(command->deliver().policy().ttl().nanos(), 500'000'000);
  EXPECT_EQ(command->deliver().report(), v1::REPORT_LEVEL_WRITTEN);
}

TEST(CommandLineTest, ReadsProtoFieldNamesToo) {
  const auto command =
      ParseCommandLine(R"({"set_labels":{"target":{"all":true},"remove":["a"]}})", 1);
  ASSERT_TRUE(command.ok()) << command.status();
  EXPECT_TRUE(command->has_set_labels());
}

TEST(CommandLineTest, TheLineNumberIsTheSeqWhereThereIsNone) {
  EXPECT_EQ(ParseCommandLine(R"({"join":{"topics":["a"]}})", 42)->seq(), 42U);
  EXPECT_EQ(ParseCommandLine(R"({"seq":0,"join":{"topics":["a"]}})", 42)->seq(), 42U);
}

TEST(CommandLineTest, WhatIsNotACommandIsRefusedWithItsLine) {
  for (const char* line : {"nonsense", "{", "[]", "null", "1", R"({"deliver":1})",
                           R"({"unknown_field":1})", R"({"seq":-1})", "{} {}", "\xff\xfe"}) {
    const auto command = ParseCommandLine(line, 9);
    ASSERT_FALSE(command.ok()) << line;
    EXPECT_THAT(std::string(command.status().message()), testing::StartsWith("line 9 is not"))
        << line;
  }
}

TEST(CommandLineTest, BadLinesGetCode3) {
  const v1::CommandResult result = BadLineResult(9, "why");
  EXPECT_EQ(result.seq(), 9U);
  EXPECT_EQ(result.code(), 3);
  EXPECT_EQ(result.detail(), "why");
}

}  // namespace
}  // namespace herald::cli
