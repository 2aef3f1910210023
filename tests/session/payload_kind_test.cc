#include "session/payload_kind.h"

#include <gtest/gtest.h>

namespace herald {
namespace {

using namespace std::string_literals;

std::string Nested(std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(PayloadKindTest, KnowsJson) {
  for (const std::string& text :
       {"{}"s, "[]"s, "0"s, "-1.5e-7"s, "true"s, "false"s, "null"s, "\"\""s, "\"\\u00e9\\n\""s,
        " \t\r\n{\"a\":[1,2,{\"b\":null}]}\n"s, "{\"a\":1,\"a\":2}"s, "\"\\ud83d\\ude00\""s,
        "\"\xc3\xa9\""s, Nested(500)}) {
    EXPECT_TRUE(IsJson(text)) << text;
  }
}

// RFC 8259 §6 sets no limit on numbers, and a payload is not ours to judge.
TEST(PayloadKindTest, KnowsJsonWithHugeNumbers) {
  for (const std::string& text :
       {"123456789012345678901234567890"s, "-18446744073709551616"s, "1e400"s, "-1e-400"s,
        "[1," + std::string(400, '9') + "]", "{\"a\":1" + std::string(300, '0') + ".5}"}) {
    EXPECT_TRUE(IsJson(text)) << text;
  }
}

TEST(PayloadKindTest, KnowsWhatIsNotJson) {
  for (const std::string& text : {""s,
                                  " "s,
                                  "\n"s,
                                  "{"s,
                                  "}"s,
                                  "[1,]"s,
                                  "{a:1}"s,
                                  "{'a':1}"s,
                                  "{\"a\"}"s,
                                  "[1 2]"s,
                                  "01"s,
                                  "+1"s,
                                  "-"s,
                                  ".5"s,
                                  "1."s,
                                  "1e"s,
                                  "0x10"s,
                                  "NaN"s,
                                  "Infinity"s,
                                  "-Infinity"s,
                                  "nul"s,
                                  "True"s,
                                  "\"open"s,
                                  "\"\x01\""s,
                                  "\"\\x\""s,
                                  "\"\\ud800\""s,
                                  "{} {}"s,
                                  "{}x"s,
                                  "1 2"s,
                                  "// comment\n1"s,
                                  "[1]/**/"s,
                                  "\xef\xbb\xbf{}"s,
                                  "{}\0"s,
                                  "\"\xff\""s,
                                  "\"\xc3\""s,
                                  "hello"s,
                                  "true false"s,
                                  "[" + std::string(400, '9') + ",]",
                                  "[99999999999999999999999999,\"\xff\"]"s,
                                  "99999999999999999999999999 x"s}) {
    EXPECT_FALSE(IsJson(text)) << text;
  }
}

// Nesting that would cost a parser its stack is text: it is refused as JSON, and does no harm.
TEST(PayloadKindTest, RefusesJsonThatIsNestedTooDeep) {
  EXPECT_FALSE(IsJson(Nested(100'000)));
  EXPECT_FALSE(IsJson(std::string(100'000, '[')));
  EXPECT_FALSE(IsJson("[" + std::string(400, '9') + "," + Nested(100'000) + "]"));
}

TEST(PayloadKindTest, KnowsUtf8) {
  for (const std::string& text : {""s, "abc"s, "\0"s, "h\xc3\xa9"s, "\xf0\x9f\x98\x80"s}) {
    EXPECT_TRUE(IsUtf8(text)) << text;
  }
  for (const std::string& text :
       {"\xff"s, "\xc3"s, "\xc0\x80"s, "\xed\xa0\x80"s, "\xf5\x80\x80\x80"s}) {
    EXPECT_FALSE(IsUtf8(text)) << text;
  }
}

struct Case {
  const char* name;
  std::string payload;
  std::string content_type;
  std::optional<PayloadKind> kind;
  std::string resulting_type;
};

class ClassifyTest : public ::testing::TestWithParam<Case> {};

TEST_P(ClassifyTest, FindsOutWhatAPayloadIs) {
  const Case& c = GetParam();
  std::string content_type = c.content_type;
  EXPECT_EQ(ClassifyPayload(c.payload, content_type), c.kind);
  EXPECT_EQ(content_type, c.resulting_type);
}

INSTANTIATE_TEST_SUITE_P(
    , ClassifyTest,
    ::testing::Values(
        Case{"Json", "{\"a\":1}", "", PayloadKind::kJson, "application/json"},
        Case{"Text", "hello", "", PayloadKind::kText, "text/plain"},
        Case{"Bom", "\xef\xbb\xbf{}", "", PayloadKind::kText, "text/plain"},
        Case{"Empty", "", "", PayloadKind::kText, "text/plain"},
        Case{"Bytes", "\xff", "", PayloadKind::kBytes, "application/octet-stream"},
        Case{"SaysJson", "1", "application/json", PayloadKind::kJson, "application/json"},
        Case{"SaysJsonWithCharset", "1", "Application/JSON ; charset=utf-8", PayloadKind::kJson,
             "Application/JSON ; charset=utf-8"},
        Case{"SaysJsonSuffix", "1", "application/cloudevents+json", PayloadKind::kJson,
             "application/cloudevents+json"},
        Case{"SaysJsonAndIsNot", "x", "application/json", std::nullopt, "application/json"},
        Case{"SaysJsonAndIsEmpty", "", "application/json", std::nullopt, "application/json"},
        Case{"SaysText", "1", "text/plain", PayloadKind::kText, "text/plain"},
        Case{"SaysTextAndIsNot", "\xff", "text/plain", PayloadKind::kBytes, "text/plain"},
        Case{"Other", "{}", "application/x-protobuf", PayloadKind::kBytes,
             "application/x-protobuf"},
        Case{"JsonInItsName", "{}", "application/jsonp", PayloadKind::kBytes, "application/jsonp"}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace herald
