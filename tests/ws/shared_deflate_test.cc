#include "ws/shared_deflate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <thread>
#include <vector>

#include "session/random.h"

namespace herald {
namespace {

std::string Json(std::size_t size) {
  std::string text;
  for (int i = 0; text.size() < size; ++i)
    text += R"({"id":)" + std::to_string(i * 7919 % 10007) + R"(,"status":"shipped"},)";
  text.resize(size);
  return text;
}

std::string Noise(std::size_t size) {
  std::string noise;
  while (noise.size() < size) noise += static_cast<char>(RandomUint64());
  return noise;
}

std::string FrameOf(Opcode opcode, std::string_view payload) {
  return MakeFrame(opcode, payload)->bytes;
}

// As a client does that has agreed to a window of `bits`, with nothing kept from other messages.
// Little by little: from what it has before it zlib would copy whatever the window.
std::string InflatedBy(int bits, std::string_view payload) {
  std::string in = std::string(payload) + std::string("\x00\x00\xff\xff", 4);
  std::string out;
  z_stream z{};
  EXPECT_EQ(inflateInit2(&z, -bits), Z_OK);
  z.next_in = reinterpret_cast<unsigned char*>(in.data());
  z.avail_in = static_cast<uInt>(in.size());
  do {
    unsigned char step[100];
    z.next_out = step;
    z.avail_out = sizeof step;
    if (inflate(&z, Z_SYNC_FLUSH) != Z_OK) break;
    out.append(reinterpret_cast<char*>(step), sizeof step - z.avail_out);
  } while (z.avail_out == 0);
  EXPECT_EQ(z.avail_in, 0u) << (z.msg != nullptr ? z.msg : "");
  inflateEnd(&z);
  return out;
}

struct Parts {
  unsigned char first = 0;
  std::string payload;
};

Parts Split(std::string_view frame) {
  std::size_t size = static_cast<unsigned char>(frame[1]), header = 2;
  const std::size_t extra = size == 127 ? 8 : size == 126 ? 2 : 0;
  if (extra > 0) size = 0;
  for (std::size_t i = 0; i < extra; ++i)
    size = size << 8 | static_cast<unsigned char>(frame[header++]);
  EXPECT_EQ(frame.size(), header + size);
  return {static_cast<unsigned char>(frame[0]), std::string(frame.substr(header))};
}

TEST(SharedDeflateTest, IsReadWithTheAgreedWindowWhateverTheSize) {
  const SharedDeflate deflate(0);
  for (const std::size_t size :
       {30, 125, 126, 127, 4095, 4096, 4097, 5000, 65535, 65536, 70'000, 500'000}) {
    const std::string payload = size < 100 ? std::string(size, 'x') : Json(size);
    std::string out;
    ASSERT_TRUE(deflate.Compress(FrameOf(Opcode::kText, payload), out)) << size;
    const Parts parts = Split(out);
    EXPECT_EQ(parts.first, 0xc1) << "FIN, RSV1, text";
    EXPECT_LT(parts.payload.size(), size);
    EXPECT_EQ(InflatedBy(SharedDeflate::kWindowBits, parts.payload), payload) << size;
  }
}

// A repeat that lies further back than the window must not be used.
TEST(SharedDeflateTest, NeverLooksBackPastTheWindow) {
  const SharedDeflate deflate(0);
  const std::string repeated = Noise(1000), payload = repeated + Json(30'000) + repeated;
  std::string out;
  ASSERT_TRUE(deflate.Compress(FrameOf(Opcode::kBinary, payload), out));
  EXPECT_EQ(Split(out).first, 0xc2) << "FIN, RSV1, binary";
  EXPECT_EQ(InflatedBy(SharedDeflate::kWindowBits, Split(out).payload), payload);
}

TEST(SharedDeflateTest, CarriesNothingFromOneMessageToTheNext) {
  const SharedDeflate deflate(0);
  const std::string frame = FrameOf(Opcode::kText, Json(2000));
  std::string first, again;
  ASSERT_TRUE(deflate.Compress(frame, first));
  ASSERT_TRUE(deflate.Compress(frame, again));
  EXPECT_EQ(first, again);
}

TEST(SharedDeflateTest, LeavesPayloadsBelowTheThreshold) {
  const SharedDeflate deflate(512);
  std::string out;
  EXPECT_FALSE(deflate.Compress(FrameOf(Opcode::kText, Json(511)), out));
  EXPECT_EQ(out, "");
  EXPECT_TRUE(deflate.Compress(FrameOf(Opcode::kText, Json(512)), out));
  EXPECT_EQ(deflate.counts().unshrunk, 0u);
}

TEST(SharedDeflateTest, LeavesWhatWouldNotShrink) {
  const SharedDeflate deflate(0);
  std::string out;
  for (const std::size_t size : {0, 1, 5, 600, 70'000}) {
    EXPECT_FALSE(deflate.Compress(FrameOf(Opcode::kBinary, Noise(size)), out)) << size;
    EXPECT_EQ(out, "");
  }
  EXPECT_EQ(deflate.counts().unshrunk, 5u);
  EXPECT_EQ(deflate.counts().frames, 0u);
  // The one after such a one is fine.
  ASSERT_TRUE(deflate.Compress(FrameOf(Opcode::kText, Json(1000)), out));
  EXPECT_EQ(InflatedBy(12, Split(out).payload), Json(1000));
}

TEST(SharedDeflateTest, CountsWhatItSaves) {
  const SharedDeflate deflate(0);
  std::string out;
  ASSERT_TRUE(deflate.Compress(FrameOf(Opcode::kText, Json(4096)), out));
  const SharedDeflate::Counts counts = deflate.counts();
  EXPECT_EQ(counts.frames, 1u);
  EXPECT_EQ(counts.bytes_in, 4096u);
  EXPECT_EQ(counts.bytes_out, Split(out).payload.size());
}

TEST(SharedDeflateTest, WorksOnAllThreadsAtOnce) {
  const SharedDeflate deflate(0);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < 200; ++i) {
        const std::string payload = Json(200 + 100 * t + i);
        std::string out;
        ASSERT_TRUE(deflate.Compress(FrameOf(Opcode::kText, payload), out));
        ASSERT_EQ(InflatedBy(12, Split(out).payload), payload);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(deflate.counts().frames, 800u);
}

}  // namespace
}  // namespace herald
