#include "session/labels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace herald {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

TEST(LabelsTest, IsThreeWordsWhenEmpty) {
  static_assert(sizeof(Labels) == 24);
  EXPECT_TRUE(Labels().empty());
}

TEST(LabelsTest, GetsWhatWasSet) {
  Labels labels;
  ASSERT_TRUE(labels.Set("platform", "web").ok());
  ASSERT_TRUE(labels.Set("tier", "").ok());
  EXPECT_EQ(labels.Get("platform"), "web");
  EXPECT_EQ(labels.Get("tier"), "");
  EXPECT_EQ(labels.Get("plat"), std::nullopt);
  EXPECT_EQ(labels.Get("zone"), std::nullopt);
  EXPECT_EQ(labels.Get(""), std::nullopt);
}

TEST(LabelsTest, SetReplacesTheValue) {
  Labels labels;
  ASSERT_TRUE(labels.Set("tier", "gold").ok());
  ASSERT_TRUE(labels.Set("tier", "silver").ok());
  EXPECT_THAT(labels, ElementsAre(Pair("tier", "silver")));
}

TEST(LabelsTest, IteratesInKeyOrder) {
  Labels labels;
  for (const char* key : {"m", "z", "a", "client/x"}) ASSERT_TRUE(labels.Set(key, "1").ok());
  EXPECT_THAT(labels,
              ElementsAre(Pair("a", "1"), Pair("client/x", "1"), Pair("m", "1"), Pair("z", "1")));
}

TEST(LabelsTest, EraseRemovesOneAndSaysSo) {
  Labels labels;
  ASSERT_TRUE(labels.Set("a", "1").ok());
  ASSERT_TRUE(labels.Set("b", "2").ok());
  EXPECT_TRUE(labels.Erase("a"));
  EXPECT_FALSE(labels.Erase("a"));
  EXPECT_THAT(labels, ElementsAre(Pair("b", "2")));
}

TEST(LabelsTest, EqualityDoesNotDependOnTheOrderOfSetting) {
  Labels one, two;
  ASSERT_TRUE(one.Set("a", "1").ok());
  ASSERT_TRUE(one.Set("b", "2").ok());
  ASSERT_TRUE(two.Set("b", "2").ok());
  EXPECT_NE(one, two);
  ASSERT_TRUE(two.Set("a", "1").ok());
  EXPECT_EQ(one, two);
  ASSERT_TRUE(two.Set("a", "2").ok());
  EXPECT_NE(one, two);
}

TEST(LabelsTest, RefusesTheThirtyThirdLabelButReplacesWhenFull) {
  Labels labels;
  for (std::size_t i = 0; i < kMaxLabels; ++i) {
    ASSERT_TRUE(labels.Set("k" + std::to_string(i), "v").ok());
  }
  EXPECT_EQ(labels.Set("one-more", "v").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(labels.size(), kMaxLabels);
  EXPECT_TRUE(labels.Set("k7", "other").ok());
  EXPECT_EQ(labels.Get("k7"), "other");
}

TEST(LabelsTest, KeepsTheOldValueWhenTheNewOneIsBad) {
  Labels labels;
  ASSERT_TRUE(labels.Set("tier", "gold").ok());
  EXPECT_EQ(labels.Set("tier", "a b").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(labels.Get("tier"), "gold");
}

TEST(ValidateLabelTest, AcceptsEveryAllowedCharacterAndLength) {
  EXPECT_TRUE(ValidateLabel("AZaz09._/-", "AZaz09._-").ok());
  EXPECT_TRUE(ValidateLabel("k", "").ok());
  EXPECT_TRUE(ValidateLabel(std::string(63, 'k'), std::string(63, 'v')).ok());
}

TEST(ValidateLabelTest, RefusesEveryOtherByte) {
  const std::string key_bytes =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-";
  for (int byte = 0; byte < 256; ++byte) {
    const std::string text = std::string("x") + static_cast<char>(byte);
    const bool in_key = key_bytes.find(static_cast<char>(byte)) != std::string::npos;
    EXPECT_EQ(ValidateLabelKey(text).ok(), in_key) << byte;
    EXPECT_EQ(ValidateLabelValue(text).ok(), in_key && byte != '/') << byte;
  }
}

TEST(ValidateLabelTest, RefusesWrongLengths) {
  EXPECT_FALSE(ValidateLabel("", "v").ok());
  EXPECT_FALSE(ValidateLabel(std::string(64, 'k'), "v").ok());
  EXPECT_FALSE(ValidateLabel("k", std::string(64, 'v')).ok());
}

TEST(ValidateLabelTest, MessageNamesTheLabelAndCannotBreakALogLine) {
  EXPECT_THAT(Message(ValidateLabel("tier", "a b")), HasSubstr("'tier'"));
  const std::string message = Message(ValidateLabel("tier\n\"\x80", ""));
  EXPECT_THAT(message, HasSubstr("tier\\x0a\"\\x80"));
  EXPECT_THAT(message, Not(HasSubstr("\n")));
  EXPECT_LT(Message(ValidateLabel(std::string(1 << 20, 'k'), "")).size(), 200u);
}

}  // namespace
}  // namespace herald
