#include "session/position.h"

#include <gtest/gtest.h>

namespace herald {
namespace {

TEST(PositionTest, GoesThroughItsToken) {
  for (const Position& position :
       {Position{1, 0, 0}, Position{1, 2, 3}, Position{~0ull, ~0ull, ~0ull},
        Position{0x0123456789abcdef, 42, 0xfedcba9876543210}}) {
    const std::string token = position.ToToken();
    EXPECT_EQ(token.size(), 32u);
    const auto parsed = Position::FromToken(token);
    ASSERT_TRUE(parsed.ok()) << token;
    EXPECT_EQ(*parsed, position);
  }
}

// It goes into URLs and JSON as it stands.
TEST(PositionTest, TokensAreUrlSafe) {
  const std::string token = Position{~0ull, 0x3e3f'fbff'effb'ffbf, ~0ull}.ToToken();
  EXPECT_EQ(
      token.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
      std::string::npos)
      << token;
}

TEST(PositionTest, AnEmptyPositionHasAnEmptyToken) {
  EXPECT_TRUE(Position{}.empty());
  EXPECT_EQ(Position{}.ToToken(), "");
}

TEST(PositionTest, RefusesWhatIsNotAToken) {
  const std::string good = Position{1, 2, 3}.ToToken();
  for (const std::string& token :
       {std::string(), good.substr(1), good + "A", good.substr(1) + "!", good.substr(1) + "=",
        good.substr(1) + "\n", std::string(32, ' '), std::string(32, '\0'),
        std::string(32, 'A') /* an empty position */}) {
    EXPECT_EQ(Position::FromToken(token).status().code(), absl::StatusCode::kInvalidArgument)
        << token;
  }
}

// One position, one token: a client compares them as strings.
TEST(PositionTest, RefusesOtherSpellingsOfAToken) {
  const std::string good = Position{~0ull, ~0ull, ~0ull}.ToToken();
  std::string standard = good;
  for (char& c : standard) c = c == '_' ? '/' : c == '-' ? '+' : c;
  ASSERT_NE(standard, good);
  EXPECT_FALSE(Position::FromToken(standard).ok());
}

}  // namespace
}  // namespace herald
