#include "session/frame.h"

namespace herald {

void AppendFrameHeader(Opcode opcode, std::size_t size, std::string& out) {
  out.push_back(static_cast<char>(0x80 | static_cast<std::uint8_t>(opcode)));
  const auto append_big_endian = [&](int bytes) {
    for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) {
      out.push_back(static_cast<char>(size >> shift));
    }
  };
  if (size < 126) {
    out.push_back(static_cast<char>(size));
  } else if (size <= 0xffff) {
    out.push_back(126);
    append_big_endian(2);
  } else {
    out.push_back(127);
    append_big_endian(8);
  }
}

FramePtr MakeFrame(Opcode opcode, std::string_view payload) {
  auto frame = std::make_shared<Frame>();
  frame->bytes.reserve(payload.size() + 10);
  AppendFrameHeader(opcode, payload.size(), frame->bytes);
  frame->bytes.append(payload);
  return frame;
}

}  // namespace herald
