// What a client says of permessage-deflate and sends with it: nothing breaks, inflating keeps to its
// limit, what we compress reads back, and frames and marks do not depend on how bytes arrive.
#include <cstdint>
#include <string>
#include <string_view>

#include "tests/fuzz/check.h"
#include "ws/compressed_marks.h"
#include "ws/deflate_offer.h"
#include "ws/frame_scanner.h"
#include "ws/inflate.h"
#include "ws/shared_deflate.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace herald;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  (void)AnswerDeflate(input);

  constexpr std::size_t kMax = 10'000;
  std::string out;
  if (Inflate(input, kMax, out).ok()) FUZZ_CHECK(out.size() <= kMax);
  FUZZ_CHECK(out.size() <= kMax + 1);

  static const SharedDeflate deflate(0);
  const std::string frame = MakeFrame(Opcode::kText, input)->bytes;
  std::string compressed;
  if (deflate.Compress(frame, compressed)) {
    FUZZ_CHECK(compressed.size() < frame.size());
    const std::size_t header = compressed.size() > 127 ? (compressed.size() > 0xffff ? 10 : 4) : 2;
    FUZZ_CHECK(Inflate(std::string_view(compressed).substr(header), input.size(), out).ok());
    FUZZ_CHECK(out == input);
  }

  std::string at_once(input), by_bytes(input);
  CompressedMarks one, other;
  FrameScanner scanner, by_byte_scanner;
  std::size_t frames = 0, frames_by_bytes = 0;
  scanner.Scan(boost::asio::buffer(at_once), [&](unsigned char& first) {
    one.OnFrame(first);
    ++frames;
  });
  for (char& byte : by_bytes) {
    by_byte_scanner.Scan(boost::asio::buffer(&byte, 1), [&](unsigned char& first) {
      other.OnFrame(first);
      ++frames_by_bytes;
    });
  }
  FUZZ_CHECK(at_once == by_bytes);
  FUZZ_CHECK(frames == frames_by_bytes);
  for (std::size_t i = 0; i < size; ++i) FUZZ_CHECK(one.Take() == other.Take());
  return 0;
}
