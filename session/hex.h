#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace herald {

// Exactly `digits` lower-case hex digits of `value`, the highest first.
inline void AppendHex(std::uint64_t value, std::string& out, int digits = 16) {
  char text[16];
  for (std::size_t i = sizeof(text); i-- > 0; value >>= 4)
    text[i] = "0123456789abcdef"[value & 0xf];
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
