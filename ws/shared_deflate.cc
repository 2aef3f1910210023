#include "ws/shared_deflate.h"

#include <zlib.h>

#include <memory>

namespace herald {
namespace {

// Measured on JSON of 512 bytes to 64 KB: level 3 takes the time of 1, and 6 takes up to twice that
// for a tenth less; a memory level over 5 changes nothing at messages of these sizes.
constexpr int kLevel = 3;
constexpr int kMemoryLevel = 5;
constexpr unsigned char kRsv1 = 0x40;
// What a sync flush ends with, and a message leaves out.
constexpr std::size_t kTailBytes = 4;

struct Deflater {
  Deflater() {
    ok = deflateInit2(&z, kLevel, Z_DEFLATED, -SharedDeflate::kWindowBits, kMemoryLevel,
                      Z_DEFAULT_STRATEGY) == Z_OK;
  }
  ~Deflater() { deflateEnd(&z); }
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;

  z_stream z{};
  bool ok;
};

std::string_view PayloadOf(std::string_view frame) {
  const auto length = static_cast<unsigned char>(frame[1]);
  return frame.substr(length == 127 ? 10 : length == 126 ? 4 : 2);
}

}  // namespace

bool SharedDeflate::Compress(std::string_view frame, std::string& out) const {
  const std::string_view payload = PayloadOf(frame);
  if (payload.size() < threshold_bytes_) return false;
  thread_local Deflater deflater;
  if (!deflater.ok) return false;  // no memory
  z_stream& z = deflater.z;
  deflateReset(&z);
  // No room for what would not be shorter.
  const std::size_t room = payload.size() + kTailBytes;
  const auto buffer = std::make_unique_for_overwrite<unsigned char[]>(room);
  z.next_in = reinterpret_cast<unsigned char*>(const_cast<char*>(payload.data()));
  z.avail_in = static_cast<uInt>(payload.size());
  z.next_out = buffer.get();
  z.avail_out = static_cast<uInt>(room);
  if (deflate(&z, Z_SYNC_FLUSH) != Z_OK || z.avail_out == 0) {
    unshrunk_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  const std::size_t size = room - z.avail_out - kTailBytes;
  out.reserve(size + 10);
  AppendFrameHeader(static_cast<Opcode>(frame[0] & 0x0f), size, out);
  out[0] = static_cast<char>(static_cast<unsigned char>(out[0]) | kRsv1);
  out.append(reinterpret_cast<const char*>(buffer.get()), size);
  frames_.fetch_add(1, std::memory_order_relaxed);
  bytes_in_.fetch_add(payload.size(), std::memory_order_relaxed);
  bytes_out_.fetch_add(size, std::memory_order_relaxed);
  return true;
}

SharedDeflate::Counts SharedDeflate::counts() const {
  return {frames_.load(std::memory_order_relaxed), unshrunk_.load(std::memory_order_relaxed),
          bytes_in_.load(std::memory_order_relaxed), bytes_out_.load(std::memory_order_relaxed)};
}

}  // namespace herald
