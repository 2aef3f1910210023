#include "bench/client_frame.h"

#include "fmt/format.h"

namespace herald::bench {

std::string UpgradeRequest(std::string_view path, int port, std::string_view subprotocol) {
  return fmt::format(
      "GET {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: aGVyYWxkLWJlbmNoLWtleQ==\r\n{}{}{}\r\n",
      path, port, subprotocol.empty() ? "" : "Sec-WebSocket-Protocol: ", subprotocol,
      subprotocol.empty() ? "" : "\r\n");
}

std::string MakeClientFrame(std::uint8_t opcode, std::string_view payload) {
  std::string frame;
  frame.reserve(payload.size() + 14);
  frame.push_back(static_cast<char>(0x80 | opcode));
  if (payload.size() < 126) {
    frame.push_back(static_cast<char>(0x80 | payload.size()));
  } else if (payload.size() <= 0xffff) {
    frame.push_back(static_cast<char>(0x80 | 126));
    frame.push_back(static_cast<char>(payload.size() >> 8));
    frame.push_back(static_cast<char>(payload.size()));
  } else {
    frame.push_back(static_cast<char>(0x80 | 127));
    for (int shift = 56; shift >= 0; shift -= 8)
      frame.push_back(static_cast<char>(payload.size() >> shift));
  }
  frame.append(4, '\0');
  frame.append(payload);
  return frame;
}

std::uint64_t OffsetOf(std::string_view frame) {
  constexpr std::string_view kKey = R"("offset":")";
  const std::size_t at = frame.find(kKey);
  if (at == std::string_view::npos) return 0;
  std::uint64_t offset = 0;
  for (std::size_t i = at + kKey.size(); i < frame.size() && frame[i] >= '0' && frame[i] <= '9';
       ++i)
    offset = offset * 10 + static_cast<std::uint64_t>(frame[i] - '0');
  return offset;
}

}  // namespace herald::bench
