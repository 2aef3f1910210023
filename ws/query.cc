#include "ws/query.h"

#include <algorithm>

#include "absl/strings/ascii.h"

namespace herald {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = absl::ascii_tolower(static_cast<unsigned char>(c));
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// application/x-www-form-urlencoded, as URLSearchParams writes and reads it.
std::optional<std::string> Decode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i] == '+' ? ' ' : text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = HexDigit(text[i + 1]), low = HexDigit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return decoded;
}

// Takes what comes before the next `mark` off `rest`.
std::string_view Next(std::string_view& rest, char mark) {
  const std::size_t at = rest.find(mark);
  const std::string_view next = rest.substr(0, at);
  rest.remove_prefix(at == std::string_view::npos ? rest.size() : at + 1);
  return next;
}

bool DecodeList(std::string_view list, std::vector<std::string>& into) {
  while (!list.empty()) {
    std::optional<std::string> part = Decode(Next(list, ','));
    if (!part) return false;
    const absl::string_view stripped = absl::StripAsciiWhitespace(*part);
    if (!stripped.empty()) into.emplace_back(stripped);
  }
  return true;
}

}  // namespace

std::optional<Query> ParseQuery(std::string_view rest) {
  Query query;
  while (!rest.empty()) {
    std::string_view value = Next(rest, '&');
    const std::optional<std::string> key = Decode(Next(value, '='));
    if (!key) return std::nullopt;
    if (*key == "topics" || *key == "labels") {
      if (!DecodeList(value, *key == "topics" ? query.topics : query.labels)) return std::nullopt;
      continue;
    }
    std::optional<std::string> text = Decode(value);
    if (!text) return std::nullopt;
    if (*key == "token") query.token = std::move(text);
    if (*key == "user") query.user = std::move(text);
  }
  return query;
}

}  // namespace herald
