#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace herald {

// How a session speaks: what stands inside its data frames.
enum class Protocol : std::uint8_t { kRaw, kJson, kProto };
inline constexpr int kProtocols = 3;

// What the bytes of a session's messages are: its protocol, and whether those that are worth it may
// be compressed (RFC 7692).
struct Encoding {
  constexpr Encoding(Protocol protocol, bool compressed = false)  // NOLINT: a protocol is one
      : protocol(protocol), compressed(compressed) {}
  constexpr std::size_t index() const {
    return static_cast<std::size_t>(protocol) + (compressed ? kProtocols : 0);
  }
  Protocol protocol;
  bool compressed;
};
inline constexpr int kEncodings = 2 * kProtocols;

// RFC 6455 §5.2.
enum class Opcode : std::uint8_t { kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10 };

// One or more complete WebSocket frames, header included, ready for the socket. Server frames
// are not masked (RFC 6455 §5.1), so the same bytes serve every session; they are immutable and
// shared.
struct Frame {
  std::string bytes;
  std::uint32_t messages = 1;  // carried by these bytes, for the counters; 0 for control frames
  std::uint32_t topic = 0;     // of the messages: a hash, for their order among others
};
using FramePtr = std::shared_ptr<const Frame>;

// Appends the header of an unfragmented server frame (FIN set, no mask) for `size` payload bytes.
void AppendFrameHeader(Opcode opcode, std::size_t size, std::string& out);

// A frame around `payload`.
FramePtr MakeFrame(Opcode opcode, std::string_view payload);

}  // namespace herald
