#include "ws/frame_scanner.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/ws/ws_client.h"

namespace herald {
namespace {

int FramesIn(std::string bytes, std::size_t step) {
  FrameScanner scanner;
  int frames = 0;
  for (std::size_t i = 0; i < bytes.size(); i += step) {
    scanner.Scan(boost::asio::buffer(bytes.data() + i, std::min(step, bytes.size() - i)),
                 [&](unsigned char&) { ++frames; });
  }
  return frames;
}

TEST(FrameScannerTest, G10CountsEveryFrameHoweverTheBytesCome) {
  std::string bytes;
  bytes += ClientFrame(0x01, "");  // an empty fragment
  for (int i = 0; i < 100; ++i) bytes += ClientFrame(0x00, "");
  bytes += ClientFrame(0x89, "ping");                    // between two fragments
  bytes += ClientFrame(0x8a, "");                        // a pong
  bytes += ClientFrame(0x80, std::string(200, '\x89'));  // 16-bit length, bytes like a ping's
  bytes += ClientFrame(0x82, std::string(70'000, 'x'));  // 64-bit length
  bytes += ClientFrame(0x81, "not masked", false);
  for (const std::size_t step : {1, 2, 3, 7, 64, 1536, 100'000})
    EXPECT_EQ(FramesIn(bytes, step), 106) << step;
}

}  // namespace
}  // namespace herald
