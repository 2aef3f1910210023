// The client's side of WebSocket, as little of it as a load generator needs (RFC 6455).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace herald::bench {

std::string UpgradeRequest(std::string_view path, int port, std::string_view subprotocol);

// A whole frame of a client. The mask (§5.3) is zero, which servers have to take as any other.
std::string MakeClientFrame(std::uint8_t opcode, std::string_view payload);

struct ServerFrame {
  std::uint8_t opcode = 0;
  std::string_view payload;  // of the buffer it was read from

  // 1005 if it names none (§7.1.5).
  int close_code() const {
    if (payload.size() < 2) return 1005;
    return static_cast<std::uint8_t>(payload[0]) << 8 | static_cast<std::uint8_t>(payload[1]);
  }
};

// Reads the frame that `data` begins with. Returns its size, or 0 if it is not there whole.
inline std::size_t ReadServerFrame(std::string_view data, ServerFrame& frame) {
  if (data.size() < 2) return 0;
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(data[i]); };
  std::size_t header = 2;
  std::uint64_t size = byte(1) & 127;
  if (size == 126) {
    header = 4;
    if (data.size() < header) return 0;
    size = static_cast<std::uint64_t>(byte(2)) << 8 | byte(3);
  } else if (size == 127) {
    header = 10;
    if (data.size() < header) return 0;
    size = 0;
    for (std::size_t i = 2; i < 10; ++i) size = size << 8 | byte(i);
  }
  if (data.size() - header < size) return 0;
  frame.opcode = byte(0) & 15;
  frame.payload = data.substr(header, size);
  return header + size;
}

// `offset` of a message frame of herald.v1.json; 0 if it has none.
std::uint64_t OffsetOf(std::string_view frame);

}  // namespace herald::bench
