#include "session/utf8.h"

#include <gtest/gtest.h>

#include <string_view>

namespace herald {
namespace {

TEST(Utf8Test, AcceptsEveryLengthUpToTheLastCodePoint) {
  EXPECT_TRUE(IsValidUtf8(""));
  EXPECT_TRUE(IsValidUtf8("plain"));
  EXPECT_TRUE(IsValidUtf8("\u00e4\u20ac\U0001f600"));
  EXPECT_TRUE(IsValidUtf8("\xf4\x8f\xbf\xbf"));  // U+10FFFF
}

TEST(Utf8Test, RefusesWhatRfc3629Forbids) {
  for (std::string_view bad : {
           std::string_view("\x80"),              // continuation without a start
           std::string_view("\xc3"),              // cut
           std::string_view("\xc3("),             // no continuation
           std::string_view("\xc0\xaf"),          // overlong slash
           std::string_view("\xe0\x80\xaf"),      // overlong slash
           std::string_view("\xf0\x80\x80\xaf"),  // overlong slash
           std::string_view("\xed\xa0\x80"),      // surrogate
           std::string_view("\xf4\x90\x80\x80"),  // past U+10FFFF
           std::string_view("\xff"),
       }) {
    EXPECT_FALSE(IsValidUtf8(bad));
  }
}

TEST(Utf8Test, ReplacesOnlyTheInvalidBytes) {
  EXPECT_EQ(ReplaceInvalidUtf8("a\xff\u00e4\xc3"), "a\uFFFD\u00e4\uFFFD");
}

}  // namespace
}  // namespace herald
