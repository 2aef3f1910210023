#include "ws/compressed_marks.h"

#include <gtest/gtest.h>

#include "tests/ws/ws_client.h"
#include "ws/frame_scanner.h"

namespace herald {
namespace {

using Mark = CompressedMarks::Mark;

// Frames as a client sends them, and as Beast must see them.
struct Pair {
  std::string sent, seen;
  void Add(std::uint8_t sent_first, std::uint8_t seen_first, std::string_view payload,
           bool masked = true) {
    sent += ClientFrame(sent_first, payload, masked);
    seen += ClientFrame(seen_first, payload, masked);
  }
};

std::string ScanIn(CompressedMarks& marks, std::string bytes, std::size_t step) {
  FrameScanner scanner;
  for (std::size_t i = 0; i < bytes.size(); i += step) {
    scanner.Scan(boost::asio::buffer(bytes.data() + i, std::min(step, bytes.size() - i)),
                 [&](unsigned char& first) { marks.OnFrame(first); });
  }
  return bytes;
}

TEST(CompressedMarksTest, FindsCompressedMessagesHoweverTheBytesCome) {
  Pair pair;
  pair.Add(0xc1, 0x82, "compressed text");
  pair.Add(0x81, 0x81, "\xc1\xc1 plain");
  pair.Add(0xc2, 0x82, std::string(200, '\xc1'));  // 16-bit length
  pair.Add(0x89, 0x89, "\xc1ping");
  pair.Add(0x41, 0x02, "first part, ");
  pair.Add(0x8a, 0x8a, "a pong between");
  pair.Add(0x80, 0x80, std::string(70'000, '\xc2'));  // 64-bit length
  pair.Add(0xc1, 0x82, "");
  pair.Add(0x82, 0x82, "");
  pair.Add(0x01, 0x01, "plain, in parts");
  pair.Add(0x80, 0x80, "\xc1");
  pair.Add(0xc2, 0x82, "not masked", false);
  pair.Add(0xc1, 0x82, "last");
  for (const std::size_t step : {1, 2, 3, 7, 64, 1536, 100'000}) {
    CompressedMarks marks;
    EXPECT_EQ(ScanIn(marks, pair.sent, step), pair.seen) << step;
    for (const Mark mark : {Mark::kCompressedText, Mark::kPlain, Mark::kCompressedBinary,
                            Mark::kCompressedText, Mark::kCompressedText, Mark::kPlain,
                            Mark::kPlain, Mark::kCompressedBinary, Mark::kCompressedText})
      EXPECT_EQ(marks.Take(), mark) << step;
  }
}

// RFC 7692 §6: only on the first frame of a data message. Beast closes for the others.
TEST(CompressedMarksTest, LeavesRsv1WhereItMustNotBe) {
  for (const std::uint8_t first : {0xc0, 0x40, 0xc8, 0xc9, 0xca, 0xc3, 0xa1, 0x92}) {
    CompressedMarks marks;
    const std::string frame = ClientFrame(first, "x");
    EXPECT_EQ(ScanIn(marks, frame, 100), frame) << int{first};
  }
  CompressedMarks marks;
  EXPECT_EQ(ScanIn(marks, ClientFrame(0xe1, "x"), 100), ClientFrame(0xa2, "x")) << "RSV2 stays";
}

}  // namespace
}  // namespace herald
