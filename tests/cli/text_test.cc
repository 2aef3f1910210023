#include "cli/text.h"

#include <gtest/gtest.h>

namespace herald::cli {
namespace {

TEST(TextTest, ThousandsGetSeparators) {
  EXPECT_EQ(Thousands(0), "0");
  EXPECT_EQ(Thousands(999), "999");
  EXPECT_EQ(Thousands(1000), "1,000");
  EXPECT_EQ(Thousands(1234567), "1,234,567");
  EXPECT_EQ(Thousands(18446744073709551615U), "18,446,744,073,709,551,615");
}

TEST(TextTest, RatesAreShortAndNeverNegative) {
  EXPECT_EQ(HumanRate(0), "0");
  EXPECT_EQ(HumanRate(-1), "0");
  EXPECT_EQ(HumanRate(0.44), "0.4");
  EXPECT_EQ(HumanRate(12.5), "12.5");
  EXPECT_EQ(HumanRate(99.97), "100");
  EXPECT_EQ(HumanRate(1234.5), "1,235");
}

TEST(TextTest, BytesTakeTheUnitThatFits) {
  EXPECT_EQ(HumanBytes(0), "0 B");
  EXPECT_EQ(HumanBytes(1023), "1023 B");
  EXPECT_EQ(HumanBytes(1536), "1.5 KiB");
  EXPECT_EQ(HumanBytes(64.0 * 1024 * 1024), "64.0 MiB");
  EXPECT_EQ(HumanBytes(1024.0 * 1024 - 1), "1.0 MiB");
}

TEST(TextTest, DurationsHaveTwoUnitsAtMost) {
  EXPECT_EQ(HumanDuration(absl::Milliseconds(350)), "350 ms");
  EXPECT_EQ(HumanDuration(absl::Seconds(12)), "12 s");
  EXPECT_EQ(HumanDuration(absl::Seconds(312)), "5m 12s");
  EXPECT_EQ(HumanDuration(absl::Hours(51)), "2d 3h");
  EXPECT_EQ(HumanDuration(absl::Seconds(-3)), "0 s");
}

TEST(TextTest, ControlCharactersDoNotReachTheTerminal) {
  EXPECT_EQ(Printable("plain, ünï ✓ 🚢"), "plain, ünï ✓ 🚢");
  EXPECT_EQ(Printable("a\nb\tc"), "a\\nb\\tc");
  EXPECT_EQ(Printable("\x1b[2J\x07\x7f"), "\\x1b[2J\\x07\\x7f");
  EXPECT_EQ(Printable("\xc2\x9b"), "\\xc2\\x9b");  // CSI as one C1 character
  EXPECT_EQ(Printable("\u202Ea\u2028"),
            "\\xe2\\x80\\xaea\\xe2\\x80\\xa8");             // direction, line separator
  EXPECT_EQ(Printable("\xff\xc3"), "\\xff\\xc3");           // not UTF-8
  EXPECT_EQ(Printable("\xc0\xaf"), "\\xc0\\xaf");           // overlong
  EXPECT_EQ(Printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // surrogate
}

TEST(TextTest, PrintableTwiceIsPrintableOnce) {
  EXPECT_EQ(Printable(Printable("a\x1b\nb")), Printable("a\x1b\nb"));
}

TEST(TextTest, TruncateCountsCharacters) {
  EXPECT_EQ(Truncate("schön", 5), "schön");
  EXPECT_EQ(Truncate("schöner", 5), "schö…");
  EXPECT_EQ(Truncate("anything", 0), "anything");
}

TEST(TextTest, PercentEncodeKeepsSlashes) {
  EXPECT_EQ(PercentEncode("orders/42"), "orders/42");
  EXPECT_EQ(PercentEncode("a b&c,ü"), "a%20b%26c%2C%C3%BC");
}

}  // namespace
}  // namespace herald::cli
