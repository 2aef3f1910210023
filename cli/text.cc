#include "cli/text.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

namespace herald::cli {
namespace {

// Length of the well-formed UTF-8 sequence at the start of `text`, 0 if there is none (RFC 3629).
std::size_t SequenceLength(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) return 0;
  }
  const auto second = static_cast<unsigned char>(text[1]);
  const bool overlong = (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90);
  const bool surrogate = lead == 0xED && second >= 0xA0;
  const bool past_last = lead == 0xF4 && second >= 0x90;
  return overlong || surrogate || past_last ? 0 : length;
}

}  // namespace

std::string Thousands(std::uint64_t value) {
  std::string digits = std::to_string(value);
  for (auto i = static_cast<int>(digits.size()) - 3; i > 0; i -= 3) digits.insert(i, ",");
  return digits;
}

std::string HumanRate(double per_second) {
  if (!(per_second >= 0.05)) return "0";
  if (per_second < 99.95) return fmt::format("{:.1f}", per_second);
  return Thousands(static_cast<std::uint64_t>(std::llround(per_second)));
}

std::string HumanBytes(double bytes) {
  static constexpr std::array<std::string_view, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  while (bytes >= 1023.95 && unit + 1 < kUnits.size()) {
    bytes /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, kUnits[unit]);
}

std::string HumanDuration(absl::Duration duration) {
  if (duration < absl::ZeroDuration()) return "0 s";
  if (duration < absl::Seconds(1)) return fmt::format("{} ms", absl::ToInt64Milliseconds(duration));
  const std::int64_t seconds = absl::ToInt64Seconds(duration);
  if (seconds < 60) return fmt::format("{} s", seconds);
  if (seconds < 3600) return fmt::format("{}m {}s", seconds / 60, seconds % 60);
  if (seconds < 86400) return fmt::format("{}h {}m", seconds / 3600, seconds / 60 % 60);
  return fmt::format("{}d {}h", seconds / 86400, seconds / 3600 % 24);
}

namespace {

// U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069 (UAX #9), of three bytes that begin with E2.
bool IsSeparatorOrDirection(std::string_view text) {
  const auto second = static_cast<unsigned char>(text[1]);
  const auto third = static_cast<unsigned char>(text[2]);
  if (second == 0x80) return third == 0x8E || third == 0x8F || (third >= 0xA8 && third <= 0xAE);
  return second == 0x81 && third >= 0xA6 && third <= 0xA9;
}

}  // namespace

std::string Printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text[0]);
    const std::size_t length = SequenceLength(text);
    // U+0080 to U+009F are the C1 control characters, which terminals obey too.
    const bool c1 = length == 2 && byte == 0xC2 && static_cast<unsigned char>(text[1]) < 0xA0;
    // Line separators and changes of direction: what follows would be shown as something else.
    const bool unseen = length == 3 && byte == 0xE2 && IsSeparatorOrDirection(text);
    if (length == 1 && byte >= 0x20 && byte != 0x7F) {
      out += text[0];
    } else if (length > 1 && !c1 && !unseen) {
      out += text.substr(0, length);
    } else if (byte == '\n') {
      out += "\\n";
    } else if (byte == '\t') {
      out += "\\t";
    } else {
      const std::size_t bad = length == 0 ? 1 : length;
      for (std::size_t i = 0; i < bad; ++i) {
        out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[i]));
      }
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

std::string PercentEncode(std::string_view text) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
  std::string out;
  for (const char c : text) {
    out += kPlain.find(c) != std::string_view::npos
               ? std::string(1, c)
               : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

std::size_t DisplayWidth(std::string_view text) {
  std::size_t width = 0;
  for (const char c : text) width += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return width;
}

std::string Truncate(std::string text, std::size_t width) {
  if (width == 0 || DisplayWidth(text) <= width) return text;
  std::size_t kept = 0;
  std::size_t i = 0;
  while (i < text.size()) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80 && kept++ == width - 1) break;
    ++i;
  }
  text.resize(i);
  return text + "…";
}

}  // namespace herald::cli
