// UTF-8 for short names: topics, user ids, log fields. Payloads are checked elsewhere, with SIMD.
//
// Spec: RFC 3629; overlong forms, surrogates and values past U+10FFFF are invalid.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace herald {

// Takes the first code point off `rest`, which must not be empty. nullopt if the bytes there are
// not valid UTF-8, and then `rest` is unchanged.
std::optional<char32_t> TakeMultibyte(std::string_view& rest);  // of a code point past ASCII
inline std::optional<char32_t> TakeCodePoint(std::string_view& rest) {
  const auto first = static_cast<unsigned char>(rest[0]);
  if (first >= 0x80) return TakeMultibyte(rest);
  rest.remove_prefix(1);
  return first;
}

bool IsValidUtf8(std::string_view text);

// `text` with each invalid byte replaced by U+FFFD.
std::string ReplaceInvalidUtf8(std::string_view text);

// As much of valid UTF-8 as fits into `max_bytes`, cut between characters.
std::string_view CutUtf8(std::string_view text, std::size_t max_bytes);

}  // namespace herald
