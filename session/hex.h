#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace herald {

// Exactly `digits` lower-case hex digits of `value`, the highest first.
inline void AppendHex(std::uint64_t value, std::string& out, int digits = 16) {
  const std::size_t end = out.size() + static_cast<std::size_t>(digits);
  out.resize(end);
  for (std::size_t i = 1; i <= static_cast<std::size_t>(digits); ++i, value >>= 4) {
    out[end - i] = "0123456789abcdef"[value & 0xf];
  }
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
