#include "bench/stamp.h"

#include <algorithm>
#include <array>

namespace herald::bench {
namespace {

constexpr std::string_view kBefore = "{\"m\":\"";
constexpr std::string_view kAfter = "\"}";

void AppendHex(std::uint64_t value, std::string& out) {
  for (int shift = 60; shift >= 0; shift -= 4)
    out.push_back("0123456789abcdef"[value >> shift & 15]);
}

constexpr std::array<std::int8_t, 256> kHexDigits = [] {
  std::array<std::int8_t, 256> digits{};
  digits.fill(-1);
  for (int i = 0; i < 10; ++i) digits['0' + i] = static_cast<std::int8_t>(i);
  for (int i = 0; i < 6; ++i) digits['a' + i] = static_cast<std::int8_t>(10 + i);
  return digits;
}();

// False if one of the 16 characters is no digit.
bool ReadHex(const char* text, std::uint64_t& value) {
  value = 0;
  int bad = 0;
  for (int i = 0; i < 16; ++i) {
    const int digit = kHexDigits[static_cast<std::uint8_t>(text[i])];
    bad |= digit;
    value = value << 4 | static_cast<std::uint64_t>(digit & 15);
  }
  return bad >= 0;
}

}  // namespace

std::string MakePayload(const Stamp& stamp, std::size_t bytes) {
  std::string payload;
  payload.reserve(bytes);
  payload += kBefore;
  payload += kStampMark;
  AppendHex(stamp.seq, payload);
  payload.push_back('-');
  AppendHex(stamp.sent_ns, payload);
  payload.push_back('-');
  payload.resize(std::max(bytes - kAfter.size(), payload.size()), 'x');
  payload += kAfter;
  return payload;
}

std::optional<Stamp> ReadStamp(std::string_view text) {
  Stamp stamp;
  if (text.size() < kStampBytes || !ReadHex(text.data() + kStampMark.size(), stamp.seq) ||
      !ReadHex(text.data() + kStampMark.size() + 17, stamp.sent_ns))
    return std::nullopt;
  return stamp;
}

}  // namespace herald::bench
