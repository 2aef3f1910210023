#pragma once

#include <boost/endian/conversion.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace herald {

// The 16 lower-case hex digits of `value`, the highest first. Eight at a time, each in a byte of a word.
inline void WriteHex(std::uint64_t value, char* out) {
  for (int half = 1; half >= 0; --half) {
    std::uint64_t word = value >> (32 * half) & 0xffff'ffff;
    word = (word | word << 16) & 0x0000'ffff'0000'ffff;
    word = (word | word << 8) & 0x00ff'00ff'00ff'00ff;
    word = (word | word << 4) & 0x0f0f'0f0f'0f0f'0f0f;
    // 1 where the digit is a letter: 10 to 15 plus 6 has the bit of 16.
    const std::uint64_t letters = (word + 0x0606'0606'0606'0606) >> 4 & 0x0101'0101'0101'0101;
    word += 0x3030'3030'3030'3030 + letters * ('a' - '0' - 10);
    word = boost::endian::native_to_big(word);
    std::memcpy(out, &word, sizeof(word));
    out += sizeof(word);
  }
}

// Exactly `digits` lower-case hex digits of `value`, the highest first.
inline void AppendHex(std::uint64_t value, std::string& out, int digits = 16) {
  char text[16];
  WriteHex(value, text);
  const auto size = static_cast<std::size_t>(digits);
  out.append(text + sizeof(text) - size, size);
}

// The value of 1 to 16 lower-case hex digits; nothing else passes.
inline std::optional<std::uint64_t> ParseHex(std::string_view text) {
  if (text.empty() || text.size() > 16) return std::nullopt;
  std::uint64_t value = 0;
  for (char c : text) {
    value <<= 4;
    if (c >= '0' && c <= '9') {
      value |= static_cast<std::uint64_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      value |= static_cast<std::uint64_t>(c - 'a' + 10);
    } else {
      return std::nullopt;
    }
  }
  return value;
}

}  // namespace herald
