#include "session/session_id.h"

#include <gtest/gtest.h>

#include <set>

namespace herald {
namespace {

constexpr std::string_view kHex = "00112233445566778899aabbccddeeff";

TEST(SessionIdTest, PrintsNodeShardAndBits) {
  const SessionId id{0x0011223344556677, 0x8899aabbccddeeff, 0x0a};
  EXPECT_EQ(id.ToString("herald-0"), "herald-0-0a-" + std::string(kHex));
}

TEST(SessionIdTest, ParsesWhatItPrints) {
  for (int shard : {0, 1, 63, 255}) {
    const SessionId id = SessionId::New(static_cast<std::uint8_t>(shard));
    const std::string text = id.ToString("a-b-00-c");  // nodes may look like the rest
    const auto parsed = ParseSessionId(text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_EQ(parsed->node, "a-b-00-c");
    EXPECT_EQ(parsed->id, id);
  }
}

TEST(SessionIdTest, IsNewEachTime) {
  std::set<SessionId> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(SessionId::New(3));
  EXPECT_EQ(ids.size(), 1000u);
}

TEST(SessionIdTest, RefusesOtherForms) {
  const std::string hex(kHex);
  for (const std::string& text : {std::string(),
                                  std::string("x"),
                                  hex,
                                  "-00-" + hex,
                                  "n-00-" + hex.substr(1),
                                  "n-0-" + hex,
                                  "n-000-" + hex,
                                  "n-0g-" + hex,
                                  "n-00-" + hex.substr(1) + "g",
                                  "n_00-" + hex,
                                  "n-00_" + hex,
                                  "n-00-" + hex + "0",
                                  "n-00-" + hex + " ",
                                  "n-+1-" + hex,
                                  "n-00--" + hex.substr(1),
                                  "n-00-0x" + hex.substr(2),
                                  std::string(64, 'n') + "-00-" + hex,
                                  "n.m-00-" + hex,
                                  "n m-00-" + hex,
                                  "_all-00-" + hex,
                                  "n>-00-" + hex,
                                  "n 0\r\n\r\nPUB m 0\r\n-00-" + hex,
                                  std::string("n\0-00-", 6) + hex,
                                  "\u00fc-00-" + hex}) {
    EXPECT_EQ(ParseSessionId(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace herald
