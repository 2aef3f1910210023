#include "app/setting_kinds.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <system_error>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "fmt/ranges.h"
#include "session/utf8.h"
#include "ws/host.h"
#include "ws/origin.h"

namespace herald::setting {
namespace {

template <typename T>
std::optional<T> ParseInteger(std::string_view text) {
  T number;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

// One printable line: so that what is printed as YAML is read back the same.
absl::Status CheckLine(std::string_view text) {
  const bool control =
      std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  if (control || !IsValidUtf8(text)) {
    return absl::InvalidArgumentError("the value is not one line of UTF-8 text");
  }
  return absl::OkStatus();
}

std::string_view Trim(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(' ') + 1 - begin);
}

std::vector<std::string> SplitAtCommas(std::string_view text) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    if (const std::string_view part = Trim(text.substr(begin, end - begin)); !part.empty()) {
      parts.emplace_back(part);
    }
    begin = end + 1;
  }
  return parts;
}

// Brings each entry of a comma-separated list to its normal form.
template <class ParseOne>
absl::Status ParseList(std::string_view text, ParseOne parse_one, std::vector<std::string>& value) {
  if (absl::Status status = CheckLine(text); !status.ok()) return status;
  std::vector<std::string> entries = SplitAtCommas(text);
  for (std::string& entry : entries) {
    absl::StatusOr<std::string> parsed = parse_one(entry);
    if (!parsed.ok()) return parsed.status();
    entry = *std::move(parsed);
  }
  value = std::move(entries);
  return absl::OkStatus();
}

}  // namespace

absl::Status Switch::Parse(std::string_view text, bool& value) const {
  if (!absl::SimpleAtob(std::string(text), &value)) {
    return absl::InvalidArgumentError(fmt::format("\"{}\" is not true or false", text));
  }
  return absl::OkStatus();
}

absl::Status Text::Parse(std::string_view text, std::string& value) const {
  if (absl::Status status = CheckLine(text); !status.ok()) return status;
  value = text;
  return absl::OkStatus();
}

absl::Status NodeName::Parse(std::string_view text, std::string& value) const {
  std::string name(text);
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  const bool alphabet = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
  if (name.size() > 63 || !alphabet) {
    return absl::InvalidArgumentError(
        fmt::format("\"{}\" is not at most 63 letters, digits and hyphens", text));
  }
  value = std::move(name);
  return absl::OkStatus();
}

absl::Status NatsUrl::Parse(std::string_view text, std::string& value) const {
  if (absl::Status status = CheckLine(text); !status.ok()) return status;
  for (const std::string& url : SplitAtCommas(text)) {
    if (!url.starts_with("nats://") && !url.starts_with("tls://")) {
      return absl::InvalidArgumentError("a URL does not begin with nats:// or tls://");
    }
  }
  value = text;
  return absl::OkStatus();
}

std::string NatsUrl::Print(const std::string& value) const {
  std::vector<std::string> urls = SplitAtCommas(value);
  for (std::string& url : urls) {
    const std::size_t at = url.rfind('@');
    const std::size_t host = url.find("://") + 3;
    if (at != std::string::npos) url.replace(host, at - host, "...");
  }
  return fmt::format("{}", fmt::join(urls, ","));
}

absl::Status ListenAddress::Parse(std::string_view text, Address& value) const {
  absl::StatusOr<Address> address = ParseAddress(text);
  if (address.ok()) value = *std::move(address);
  return address.status();
}

absl::Status Origins::Parse(std::string_view text, std::vector<std::string>& value) const {
  return ParseList(text, ParseAllowedOrigin, value);
}

absl::Status Hosts::Parse(std::string_view text, std::vector<std::string>& value) const {
  return ParseList(text, ParseAllowedHost, value);
}

std::string Hosts::Print(const std::vector<std::string>& value) const {
  return fmt::format("{}", fmt::join(value, ","));
}

std::string Origins::Print(const std::vector<std::string>& value) const {
  return fmt::format("{}", fmt::join(value, ","));
}

absl::Status AddressRanges::Parse(std::string_view text, std::vector<AddressRange>& value) const {
  if (absl::Status status = CheckLine(text); !status.ok()) return status;
  std::vector<AddressRange> ranges;
  for (const std::string& part : SplitAtCommas(text)) {
    absl::StatusOr<AddressRange> range = AddressRange::Parse(part);
    if (!range.ok()) return range.status();
    ranges.push_back(*range);
  }
  value = std::move(ranges);
  return absl::OkStatus();
}

std::string AddressRanges::Print(const std::vector<AddressRange>& value) const {
  std::vector<std::string> ranges;
  for (const AddressRange& range : value) ranges.push_back(range.ToString());
  return fmt::format("{}", fmt::join(ranges, ","));
}

absl::Status Count::Parse(std::string_view text, std::uint32_t& value) const {
  const std::optional<std::uint32_t> number = ParseInteger<std::uint32_t>(text);
  if (!number || *number < min || *number > max) {
    return absl::InvalidArgumentError(
        fmt::format("\"{}\" is not a whole number from {} to {}", text, min, max));
  }
  value = *number;
  return absl::OkStatus();
}

absl::Status Bytes::Parse(std::string_view text, std::uint64_t& value) const {
  std::string_view digits = text;
  int shift = 0;
  for (const auto& [suffix, bits] :
       {std::pair<std::string_view, int>{"KiB", 10}, {"MiB", 20}, {"GiB", 30}}) {
    if (!text.ends_with(suffix)) continue;
    digits.remove_suffix(suffix.size());
    shift = bits;
  }
  const std::optional<std::uint64_t> number = ParseInteger<std::uint64_t>(digits);
  if (!number || *number > max >> shift || *number << shift < min) {
    return absl::InvalidArgumentError(
        fmt::format("\"{}\" is not a size in bytes (65536, 64KiB, 1MiB, 1GiB) from {} to {}", text,
                    Print(min), Print(max)));
  }
  value = *number << shift;
  return absl::OkStatus();
}

std::string Bytes::Print(std::uint64_t value) const {
  for (const auto& [suffix, bits] : {std::pair{"GiB", 30}, {"MiB", 20}, {"KiB", 10}}) {
    if (value != 0 && value % (std::uint64_t{1} << bits) == 0) {
      return fmt::format("{}{}", value >> bits, suffix);
    }
  }
  return std::to_string(value);
}

absl::Status Duration::Parse(std::string_view text, absl::Duration& value) const {
  const std::string hours_only = fmt::format("{}h", absl::ToInt64Hours(max));
  absl::Duration duration;
  if (!absl::ParseDuration(std::string(text), &duration) || duration < absl::ZeroDuration() ||
      (duration == absl::ZeroDuration() && !may_be_zero) || duration > max) {
    return absl::InvalidArgumentError(
        fmt::format("\"{}\" is not a duration like 500ms, 25s or 2m, {} and at most {}", text,
                    may_be_zero ? "not negative" : "more than 0", hours_only));
  }
  value = duration;
  return absl::OkStatus();
}

}  // namespace herald::setting
