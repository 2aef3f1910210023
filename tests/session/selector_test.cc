#include "session/selector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <utility>

namespace herald {
namespace {

using ::testing::HasSubstr;

Labels Make(std::initializer_list<std::pair<const char*, const char*>> pairs) {
  Labels labels;
  for (const auto& [key, value] : pairs) EXPECT_TRUE(labels.Set(key, value).ok());
  return labels;
}

bool Matches(std::string_view text, const Labels& labels) {
  const absl::StatusOr<Selector> selector = Selector::Parse(text);
  EXPECT_TRUE(selector.ok()) << text << ": " << selector.status();
  return selector.ok() && selector->Matches(labels);
}

std::string Error(std::string_view text) {
  const absl::StatusOr<Selector> selector = Selector::Parse(text);
  EXPECT_EQ(selector.status().code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(selector.status().message());
}

// What each operator says of a label with that value, another value, and none.
struct OperatorCase {
  const char* selector;
  bool same, other, absent;
};

class SelectorOperatorTest : public ::testing::TestWithParam<OperatorCase> {};

TEST_P(SelectorOperatorTest, MatchesAsKubernetesDoes) {
  const OperatorCase& c = GetParam();
  EXPECT_EQ(Matches(c.selector, Make({{"tier", "gold"}})), c.same) << c.selector;
  EXPECT_EQ(Matches(c.selector, Make({{"tier", "tin"}})), c.other) << c.selector;
  EXPECT_EQ(Matches(c.selector, Make({{"platform", "gold"}})), c.absent) << c.selector;
  EXPECT_EQ(Matches(c.selector, Labels()), c.absent) << c.selector;
}

INSTANTIATE_TEST_SUITE_P(
    Table, SelectorOperatorTest,
    ::testing::Values(OperatorCase{"tier=gold", true, false, false},
                      OperatorCase{"tier==gold", true, false, false},
                      OperatorCase{"tier!=gold", false, true, true},
                      OperatorCase{"tier in (silver,gold)", true, false, false},
                      OperatorCase{"tier in (gold)", true, false, false},
                      OperatorCase{"tier notin (silver,gold)", false, true, true},
                      OperatorCase{"tier", true, true, false},
                      OperatorCase{"!tier", false, false, true}));

TEST(SelectorTest, AllRequirementsMustHold) {
  const char* text = "platform=web,tier in (gold,silver),!beta";
  EXPECT_TRUE(Matches(text, Make({{"platform", "web"}, {"tier", "silver"}})));
  EXPECT_TRUE(Matches(text, Make({{"platform", "web"}, {"tier", "gold"}, {"x", "y"}})));
  EXPECT_FALSE(Matches(text, Make({{"platform", "ios"}, {"tier", "silver"}})));
  EXPECT_FALSE(Matches(text, Make({{"platform", "web"}, {"tier", "tin"}})));
  EXPECT_FALSE(Matches(text, Make({{"platform", "web"}, {"tier", "gold"}, {"beta", "1"}})));
}

TEST(SelectorTest, ContradictionMatchesNothing) {
  EXPECT_FALSE(Matches("a=1,a=2", Make({{"a", "1"}})));
  EXPECT_FALSE(Matches("a,!a", Make({{"a", "1"}})));
  EXPECT_FALSE(Matches("a,!a", Labels()));
}

TEST(SelectorTest, SpaceIsFreeBetweenTokens) {
  const Labels labels = Make({{"platform", "web"}, {"tier", "gold"}});
  EXPECT_TRUE(Matches("  platform  =  web ,\ttier in( gold , silver )\n, !  beta ", labels));
  EXPECT_TRUE(Matches("tier notin(tin)", labels));
}

TEST(SelectorTest, ValueMayBeEmpty) {
  EXPECT_TRUE(Matches("a=", Make({{"a", ""}})));
  EXPECT_FALSE(Matches("a=", Make({{"a", "1"}})));
  EXPECT_FALSE(Matches("a=", Labels()));
  EXPECT_FALSE(Matches("a!=,b", Make({{"a", ""}, {"b", "1"}})));
  EXPECT_TRUE(Matches("a in (,1)", Make({{"a", ""}})));
  EXPECT_TRUE(Matches("a in (1,)", Make({{"a", ""}})));
  EXPECT_TRUE(Matches("a in (1,,2)", Make({{"a", ""}})));
  EXPECT_FALSE(Matches("a in (,1)", Labels()));
}

TEST(SelectorTest, OperatorsAreWordsOnlyWhereAnOperatorStands) {
  EXPECT_TRUE(Matches("in", Make({{"in", "x"}})));
  EXPECT_TRUE(Matches("!notin", Labels()));
  EXPECT_TRUE(Matches("in in (in,notin)", Make({{"in", "notin"}})));
  EXPECT_TRUE(Matches("notin notin (in)", Make({{"notin", "x"}})));
  EXPECT_TRUE(Matches("a=in", Make({{"a", "in"}})));
}

TEST(SelectorTest, IsCaseSensitive) {
  EXPECT_FALSE(Matches("tier=Gold", Make({{"tier", "gold"}})));
  EXPECT_FALSE(Matches("Tier", Make({{"tier", "gold"}})));
  Error("tier IN (gold)");
}

TEST(SelectorTest, ClientLabelsAreOtherKeys) {
  const Labels labels = Make({{"client/tier", "gold"}});
  EXPECT_FALSE(Matches("tier=gold", labels));
  EXPECT_TRUE(Matches("client/tier=gold", labels));
}

TEST(SelectorTest, RefusesAnEmptySelector) {
  EXPECT_THAT(Error(""), HasSubstr("empty"));
  EXPECT_THAT(Error(" \t\r\n "), HasSubstr("empty"));
}

struct ErrorCase {
  const char* selector;
  const char* says;
};

class SelectorErrorTest : public ::testing::TestWithParam<ErrorCase> {};

TEST_P(SelectorErrorTest, SaysWhatIsWrongAndWhere) {
  EXPECT_THAT(Error(GetParam().selector), HasSubstr(GetParam().says)) << GetParam().selector;
}

INSTANTIATE_TEST_SUITE_P(
    Table, SelectorErrorTest,
    ::testing::Values(ErrorCase{",", "column 1: expected a label key, found ','"},
                      ErrorCase{"a,", "column 3: expected a label key, but it ends here"},
                      ErrorCase{"a,,b", "column 3: expected a label key, found ','"},
                      ErrorCase{"a b", "column 3: expected '='"},
                      ErrorCase{"a !b", "column 3: expected '='"},
                      ErrorCase{"a=b c", "column 5: expected ',' or the end, found 'c'"},
                      ErrorCase{"a=b=c", "column 4: expected ',' or the end, found '='"},
                      ErrorCase{"a===b", "column 4: expected a label value, found '='"},
                      ErrorCase{"a=!b", "column 3: expected a label value, found '!'"},
                      ErrorCase{"a=(b)", "column 3: expected a label value, found '('"},
                      ErrorCase{"=b", "column 1: expected a label key, found '='"},
                      ErrorCase{"!", "column 2: expected a label key, but it ends here"},
                      ErrorCase{"!!a", "column 2: expected a label key, found '!'"},
                      ErrorCase{"!a=b", "column 3: expected ',' or the end, found '='"},
                      ErrorCase{"!a in (b)", "column 4: expected ',' or the end, found 'i'"},
                      ErrorCase{"a in", "column 5: expected '(', but it ends here"},
                      ErrorCase{"a in b", "column 6: expected '(', found 'b'"},
                      ErrorCase{"a in ()", "column 7: the list of values is empty"},
                      ErrorCase{"a in (b", "column 8: expected ',' or ')', but it ends here"},
                      ErrorCase{"a in (b c)", "column 9: expected ',' or ')', found 'c'"},
                      ErrorCase{"a in ((b))", "column 7: expected a label value, found '('"},
                      ErrorCase{"a in (b))", "column 9: expected ',' or the end, found ')'"},
                      ErrorCase{"a)", "column 2: expected '='"},
                      ErrorCase{"a>1", "column 2: expected '='"},
                      ErrorCase{"a<1", "column 2: expected '='"},
                      ErrorCase{"a;b", "column 1: label key 'a;b' has a character"},
                      ErrorCase{"a=b/c", "column 3: label value 'b/c' has a character"},
                      ErrorCase{"a,b in (c,d*)", "column 11: label value 'd*' has a character"},
                      ErrorCase{"a=b \x80", "column 5: expected ',' or the end, found byte 0x80"}));

TEST(SelectorTest, RefusesANulByte) {
  EXPECT_THAT(Error(std::string_view("a\0b", 3)), HasSubstr("a\\x00b"));
  EXPECT_THAT(Error(std::string_view("a=b \0", 5)), HasSubstr("column 5"));
}

TEST(SelectorTest, LimitsItsLength) {
  std::string text = "a=" + std::string(kMaxSelectorBytes - 2, ' ');
  EXPECT_TRUE(Selector::Parse(text).ok());
  text += ' ';
  EXPECT_THAT(Error(text), HasSubstr("1025 bytes, 1024 are allowed"));
}

TEST(SelectorTest, LimitsItsRequirements) {
  std::string text = "k0";
  for (std::size_t i = 1; i < kMaxSelectorRequirements; ++i) text += ",k" + std::to_string(i);
  EXPECT_TRUE(Selector::Parse(text).ok());
  EXPECT_THAT(Error(text + ",x"), HasSubstr("more than 32 requirements"));
}

TEST(SelectorTest, LimitsTheValuesOfAList) {
  std::string text = "a in (v";
  for (std::size_t i = 1; i < kMaxSelectorValues; ++i) text += ",v" + std::to_string(i);
  EXPECT_TRUE(Selector::Parse(text + ")").ok());
  EXPECT_THAT(Error(text + ",x)"), HasSubstr("more than 64 values"));
  // Repeated values count, so that the work stays bounded.
  std::string repeated = "a in (v";
  for (std::size_t i = 0; i < kMaxSelectorValues; ++i) repeated += ",v";
  EXPECT_THAT(Error(repeated + ")"), HasSubstr("more than 64 values"));
}

TEST(SelectorTest, LimitsKeysAndValuesAsLabelsAre) {
  EXPECT_TRUE(Selector::Parse(std::string(63, 'k') + "=" + std::string(63, 'v')).ok());
  EXPECT_THAT(Error(std::string(64, 'k')), HasSubstr("column 1: label key"));
  EXPECT_THAT(Error("a=" + std::string(64, 'v')), HasSubstr("column 3: label value"));
}

}  // namespace
}  // namespace herald
