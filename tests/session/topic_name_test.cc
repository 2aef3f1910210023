#include "session/topic_name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace herald {
namespace {

using ::testing::HasSubstr;

bool Matches(std::string_view pattern, std::string_view topic) {
  return TopicPattern::Parse(pattern).value().Matches(topic);
}

TEST(TopicNameTest, AcceptsOrdinaryNames) {
  for (std::string_view topic : {"a", "orders/42", "a b", "straße", "a//b", "/", "$all", "*"}) {
    EXPECT_TRUE(ValidateTopic(topic).ok()) << topic;
  }
}

TEST(TopicNameTest, RefusesMalformedNamesAndSaysWhy) {
  const struct {
    std::string topic;
    std::string why;
  } cases[] = {
      {"", "empty"},
      {std::string(256, 'a'), "256 bytes, more than 255"},
      {"a\xff", "not valid UTF-8"},
      {"a\nb", "control character"},
      {std::string("a\0b", 3), "control character"},
      {"a\x7f", "control character"},
      {" \x7f", "control character"},
      {"a\u0085", "control character"},
      {"  ", "only white space"},
      {"\u00a0\u3000", "only white space"},
  };
  for (const auto& [topic, why] : cases) {
    const absl::Status status = ValidateTopic(topic);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << why;
    EXPECT_THAT(std::string(status.message()), HasSubstr(why));
  }
}

TEST(TopicNameTest, CountsBytesAndNotCharacters) {
  EXPECT_TRUE(ValidateTopic(std::string(255, 'a')).ok());
  std::string umlauts;
  for (int i = 0; i < 128; ++i) umlauts += "\u00e4";
  EXPECT_FALSE(ValidateTopic(umlauts).ok());
}

TEST(TopicNameTest, ReservedNamesAreNotForClients) {
  EXPECT_TRUE(ValidateTopic("$user/alice").ok());
  EXPECT_FALSE(ValidateClientTopic("$user/alice").ok());
  EXPECT_FALSE(ValidateClientTopic("$").ok());
  EXPECT_FALSE(ValidateClientTopic("").ok());
  EXPECT_TRUE(ValidateClientTopic("a$").ok());
}

TEST(TopicNameTest, PersonalTopicOfTheLongestUserIsATopic) {
  const std::string user(kMaxUserIdBytes, 'u');
  EXPECT_EQ(kMaxUserIdBytes, 249u);
  EXPECT_TRUE(ValidateUserId(user).ok());
  EXPECT_TRUE(ValidateTopic(PersonalTopic(user)).ok());
  EXPECT_FALSE(ValidateUserId(user + "u").ok());
  EXPECT_FALSE(ValidateUserId("").ok());
  EXPECT_FALSE(ValidateUserId("a\tb").ok());
  EXPECT_EQ(PersonalTopic("alice"), "$user/alice");
}

TEST(TopicPatternTest, LiteralMatchesOnlyItself) {
  EXPECT_TRUE(Matches("orders/42", "orders/42"));
  EXPECT_FALSE(Matches("orders/42", "orders/4"));
  EXPECT_FALSE(Matches("orders/42", "orders/42/x"));
  EXPECT_FALSE(Matches("orders/42", "orders"));
}

TEST(TopicPatternTest, StarIsOneSegment) {
  EXPECT_TRUE(Matches("orders/*", "orders/42"));
  EXPECT_TRUE(Matches("orders/*", "orders/"));
  EXPECT_FALSE(Matches("orders/*", "orders"));
  EXPECT_FALSE(Matches("orders/*", "orders/42/items"));
  EXPECT_TRUE(Matches("*/items", "42/items"));
  EXPECT_TRUE(Matches("*", "a"));
  EXPECT_FALSE(Matches("*", "a/b"));
}

TEST(TopicPatternTest, TwoStarsAreAnyNumberOfSegments) {
  EXPECT_TRUE(Matches("**", "a"));
  EXPECT_TRUE(Matches("**", "a/b/c"));
  EXPECT_TRUE(Matches("orders/**", "orders"));
  EXPECT_TRUE(Matches("orders/**", "orders/1/2/3"));
  EXPECT_FALSE(Matches("orders/**", "ordersx"));
  EXPECT_TRUE(Matches("**/items", "items"));
  EXPECT_TRUE(Matches("**/items", "a/b/items"));
  EXPECT_FALSE(Matches("**/items", "a/b/items/c"));
  EXPECT_TRUE(Matches("a/**/b/*/c", "a/b/b/x/c"));
  EXPECT_TRUE(Matches("a/**/b/**/c", "a/x/b/b/y/z/c"));
  EXPECT_FALSE(Matches("a/**/b/**/c", "a/x/y/c"));
  EXPECT_TRUE(Matches("**/**/**", "a"));
}

TEST(TopicPatternTest, WildcardNeverReachesAReservedTopic) {
  for (std::string_view pattern : {"*", "**", "*/alice", "**/alice"}) {
    EXPECT_FALSE(Matches(pattern, "$all")) << pattern;
    EXPECT_FALSE(Matches(pattern, "$user/alice")) << pattern;
  }
  EXPECT_TRUE(Matches("$user/*", "$user/alice"));
  EXPECT_FALSE(Matches("$user/*", "$user/a/b"));
  EXPECT_TRUE(Matches("$user/**", "$user/a/b"));
  EXPECT_TRUE(Matches("$all", "$all"));
}

TEST(TopicPatternTest, RefusesWhatItCannotMean) {
  EXPECT_FALSE(TopicPattern::Parse("").ok());
  EXPECT_FALSE(TopicPattern::Parse("orders-*").ok());
  EXPECT_FALSE(TopicPattern::Parse("a/***").ok());
  EXPECT_FALSE(TopicPattern::Parse("a/\xff").ok());
  EXPECT_FALSE(TopicPattern::Parse(std::string(256, 'a')).ok());
  std::string deep = "a";
  for (int i = 1; i < 32; ++i) deep += "/a";
  EXPECT_TRUE(TopicPattern::Parse(deep).ok());
  EXPECT_FALSE(TopicPattern::Parse(deep + "/a").ok());
}

// The definition, by plain recursion: right, and exponential.
bool MatchesByDefinition(const std::vector<std::string>& pattern, std::size_t p,
                         const std::vector<std::string>& topic, std::size_t t) {
  if (p == pattern.size()) return t == topic.size();
  if (pattern[p] == "**") {
    return MatchesByDefinition(pattern, p + 1, topic, t) ||
           (t < topic.size() && MatchesByDefinition(pattern, p, topic, t + 1));
  }
  return t < topic.size() && (pattern[p] == "*" || pattern[p] == topic[t]) &&
         MatchesByDefinition(pattern, p + 1, topic, t + 1);
}

std::string JoinSegments(const std::vector<std::string>& segments) {
  std::string out = segments.front();
  for (std::size_t i = 1; i < segments.size(); ++i) out += "/" + segments[i];
  return out;
}

TEST(TopicPatternTest, AgreesWithTheDefinition) {
  std::mt19937 random(1);
  const std::vector<std::string> alphabet = {"a", "b", "", "*", "**"};
  int matched = 0;
  for (int i = 0; i < 20000; ++i) {
    std::vector<std::string> pattern(1 + random() % 6);
    std::vector<std::string> topic(1 + random() % 6);
    for (auto& segment : pattern) segment = alphabet[random() % 5];
    for (auto& segment : topic) segment = alphabet[random() % 3];
    const std::string text = JoinSegments(pattern);
    if (text.empty()) continue;
    const bool expected = MatchesByDefinition(pattern, 0, topic, 0);
    ASSERT_EQ(Matches(text, JoinSegments(topic)), expected) << text << " " << JoinSegments(topic);
    matched += expected;
  }
  EXPECT_GT(matched, 1000);
}

// With backtracking over every `**` this would not end in a lifetime; the test's time limit says
// so.
TEST(TopicPatternTest, ManyStarsDoNotExplode) {
  std::string pattern = "**";
  for (int i = 0; i < 15; ++i) pattern += "/a/**";
  std::string topic = "a";
  for (int i = 0; i < 126; ++i) topic += "/a";
  EXPECT_TRUE(Matches(pattern, topic));
  EXPECT_FALSE(Matches(pattern + "/b", topic));
}

}  // namespace
}  // namespace herald
