#include "cli/table.h"

#include <gtest/gtest.h>

namespace herald::cli {
namespace {

TEST(TableTest, AlignsColumnsWithoutTrailingBlanks) {
  Table table({{"NAME"}, {"COUNT", Table::kRight}, {"NOTE"}});
  table.Row({"a", "1,000", "x"});
  table.Row({"longer", "7", ""});
  EXPECT_EQ(table.Take(),
            "NAME    COUNT  NOTE\n"
            "a       1,000  x\n"
            "longer      7\n");
}

TEST(TableTest, HeaderComesOnceAndPagesLineUp) {
  Table table({{"NAME"}, {"N"}});
  table.Row({"longest", "1"});
  EXPECT_EQ(table.Take(), "NAME     N\nlongest  1\n");
  table.Row({"b", "2"});
  EXPECT_EQ(table.Take(), "b        2\n");
}

TEST(TableTest, CountsUmlautsAsOneColumn) {
  Table table({{"USER"}, {"N"}});
  table.Row({"jürgen", "1"});
  table.Row({"jurgen", "1"});
  EXPECT_EQ(table.Take(), "USER    N\njürgen  1\njurgen  1\n");
}

TEST(TableTest, CutsLinesAtTheWidthOfTheTerminal) {
  Table table({{"A"}, {"B"}}, 10);
  table.Row({"abc", "0123456789"});
  EXPECT_EQ(table.Take(), "A    B\nabc  0123…\n");
}

TEST(TableTest, CellsCannotBreakTheLine) {
  Table table({{"A"}});
  table.Row({"x\ny\x1b[m"});
  EXPECT_EQ(table.Take(), "A\nx\\ny\\x1b[m\n");
}

TEST(FactsTest, ValuesLineUpAndEmptyOnesAreLeftOut) {
  Facts facts;
  facts.Add("matched", "3");
  facts.Add("id", "m1");
  facts.Add("nothing", "");
  EXPECT_EQ(facts.Text(), "matched  3\nid       m1\n");
}

}  // namespace
}  // namespace herald::cli
