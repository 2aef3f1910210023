#include "session/frame.h"

#include <gtest/gtest.h>

namespace herald {
namespace {

using namespace std::string_literals;

std::string Header(std::size_t size, Opcode opcode = Opcode::kText) {
  std::string out;
  AppendFrameHeader(opcode, size, out);
  return out;
}

// RFC 6455 §5.2: the shortest of the three forms of a length must be used.
TEST(FrameTest, EncodesTheLengthInItsShortestForm) {
  EXPECT_EQ(Header(0), "\x81\x00"s);
  EXPECT_EQ(Header(125), "\x81\x7d"s);
  EXPECT_EQ(Header(126), "\x81\x7e\x00\x7e"s);
  EXPECT_EQ(Header(65535), "\x81\x7e\xff\xff"s);
  EXPECT_EQ(Header(65536), "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"s);
  EXPECT_EQ(Header(0x123456789a), "\x81\x7f\x00\x00\x00\x12\x34\x56\x78\x9a"s);
}

TEST(FrameTest, SetsFinAndTheOpcode) {
  EXPECT_EQ(Header(1, Opcode::kBinary), "\x82\x01"s);
  EXPECT_EQ(Header(1, Opcode::kClose), "\x88\x01"s);
  EXPECT_EQ(Header(1, Opcode::kPing), "\x89\x01"s);
  EXPECT_EQ(Header(1, Opcode::kPong), "\x8a\x01"s);
}

TEST(FrameTest, AppendsToWhatIsThere) {
  std::string out = "before";
  AppendFrameHeader(Opcode::kText, 3, out);
  EXPECT_EQ(out, "before\x81\x03");
}

TEST(FrameTest, MakesAFrameAroundAPayload) {
  EXPECT_EQ(MakeFrame(Opcode::kText, "abc")->bytes, "\x81\x03"s + "abc");
  EXPECT_EQ(MakeFrame(Opcode::kPing, "")->bytes, "\x89\x00"s);
  EXPECT_EQ(MakeFrame(Opcode::kText, "abc")->messages, 1u);
  const std::string big(70'000, 'x');
  EXPECT_EQ(MakeFrame(Opcode::kBinary, big)->bytes,
            "\x82\x7f\x00\x00\x00\x00\x00\x01\x11\x70"s + big);
}

}  // namespace
}  // namespace herald
