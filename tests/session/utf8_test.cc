#include "session/utf8.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "session/payload_kind.h"

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

// Short texts of bytes from the borders of all ranges: among them are all kinds of errors.
TEST(Utf8Test, AgreesWithTheCheckOfPayloads) {
  constexpr unsigned char kBytes[] = {0x00, 'a',  0x7f, 0x80, 0x8f, 0x90, 0x9f,
                                      0xa0, 0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1,
                                      0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff};
  constexpr std::size_t kCount = sizeof(kBytes);
  for (std::size_t n = 0; n < kCount * kCount * kCount * kCount; ++n) {
    std::string text = "x";
    for (std::size_t rest = n, i = 0; i < 4; ++i, rest /= kCount)
      text.push_back(static_cast<char>(kBytes[rest % kCount]));
    ASSERT_EQ(IsValidUtf8(text), IsUtf8(text)) << n;
  }
}

TEST(Utf8Test, ReplacesOnlyTheInvalidBytes) {
  EXPECT_EQ(ReplaceInvalidUtf8("a\xff\u00e4\xc3"), "a\uFFFD\u00e4\uFFFD");
}

TEST(Utf8Test, CutsBetweenCharacters) {
  EXPECT_EQ(CutUtf8("abc", 3), "abc");
  EXPECT_EQ(CutUtf8("abc", 100), "abc");
  EXPECT_EQ(CutUtf8("abc", 2), "ab");
  EXPECT_EQ(CutUtf8("h\xc3\xa9", 2), "h");
  EXPECT_EQ(CutUtf8("h\xc3\xa9", 3), "h\xc3\xa9");
  EXPECT_EQ(CutUtf8("\xf0\x9f\x98\x80", 3), "");
  EXPECT_EQ(CutUtf8("", 0), "");
}

}  // namespace
}  // namespace herald
