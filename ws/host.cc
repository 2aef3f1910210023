#include "ws/host.h"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <charconv>

#include "absl/strings/ascii.h"
#include "fmt/format.h"

namespace herald {
namespace {

constexpr std::string_view kLoopback = "loopback";
constexpr std::size_t kMaxHostBytes = 255;

bool IsNameByte(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_' ||
         c == '~';
}

// The port behind a host: nothing, `:` or `:80`.
bool ReadPort(std::string_view text, std::optional<std::uint16_t>& port) {
  if (text.empty()) return true;
  if (text[0] != ':') return false;
  text.remove_prefix(1);
  if (text.empty()) return true;  // RFC 3986 §3.2.3
  std::uint16_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return false;
  port = number;
  return true;
}

bool IsLoopback(const std::string& host) {
  if (host == "localhost" || host == "localhost." || host == "[::1]") return true;
  if (host.ends_with(".localhost")) return true;  // RFC 6761 §6.3
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address_v4(host, error);
  return !error && address.is_loopback();
}

}  // namespace

std::optional<HostPort> ParseHost(std::string_view text) {
  if (text.empty()) return std::nullopt;
  HostPort parsed;
  if (text[0] == '[') {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    boost::system::error_code error;
    const auto address =
        boost::asio::ip::make_address_v6(std::string(text.substr(1, end - 1)), error);
    if (error || address.scope_id() != 0) return std::nullopt;
    parsed.host = '[' + address.to_string() + ']';
    if (!ReadPort(text.substr(end + 1), parsed.port)) return std::nullopt;
    return parsed;
  }
  const std::size_t end =
      static_cast<std::size_t>(std::ranges::find_if_not(text, IsNameByte) - text.begin());
  if (end == 0 || end > kMaxHostBytes || !ReadPort(text.substr(end), parsed.port))
    return std::nullopt;
  parsed.host = std::string(text.substr(0, end));
  absl::AsciiStrToLower(&parsed.host);
  return parsed;
}

absl::StatusOr<std::string> ParseAllowedHost(std::string_view text) {
  const std::optional<HostPort> parsed = ParseHost(text);
  if (!parsed || parsed->port || text.ends_with(':')) {
    return absl::InvalidArgumentError(
        fmt::format("\"{}\" is not a host name or an address, without a port, or loopback", text));
  }
  return parsed->host;
}

bool HostAllowed(const std::vector<std::string>& allowed, std::string_view host) {
  if (allowed.empty()) return true;
  const std::optional<HostPort> parsed = ParseHost(host);
  return parsed && std::ranges::any_of(allowed, [&](const std::string& one) {
           return one == parsed->host || (one == kLoopback && IsLoopback(parsed->host));
         });
}

}  // namespace herald
