#include "ws/origin.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "fmt/format.h"
#include "ws/host.h"

namespace herald {
namespace {

struct Origin {
  std::string scheme;  // lower case
  HostPort host;
};

std::uint16_t DefaultPort(std::string_view scheme) {
  return scheme == "https" ? 443 : scheme == "http" ? 80 : 0;
}

// RFC 3986 §3.1.
bool IsScheme(std::string_view text) {
  return !text.empty() && absl::ascii_isalpha(static_cast<unsigned char>(text[0])) &&
         std::ranges::all_of(text, [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '+' || c == '-' || c == '.';
         });
}

std::optional<Origin> ParseOrigin(std::string_view text) {
  const std::size_t end = text.find("://");
  if (end == std::string_view::npos || !IsScheme(text.substr(0, end))) return std::nullopt;
  std::optional<HostPort> host = ParseHost(text.substr(end + 3));
  if (!host) return std::nullopt;
  std::string scheme(text.substr(0, end));
  absl::AsciiStrToLower(&scheme);
  if (host->port == DefaultPort(scheme)) host->port.reset();
  return Origin{std::move(scheme), *std::move(host)};
}

std::string ToText(const Origin& origin) {
  return origin.host.port
             ? fmt::format("{}://{}:{}", origin.scheme, origin.host.host, *origin.host.port)
             : fmt::format("{}://{}", origin.scheme, origin.host.host);
}

}  // namespace

std::optional<std::string> NormalOrigin(std::string_view origin) {
  if (origin == "null") return std::string(origin);
  const std::optional<Origin> parsed = ParseOrigin(origin);
  if (!parsed) return std::nullopt;
  return ToText(*parsed);
}

absl::StatusOr<std::string> ParseAllowedOrigin(std::string_view text) {
  const auto invalid = [text](std::string_view why) {
    return absl::InvalidArgumentError(fmt::format("\"{}\" {}", text, why));
  };
  if (text == "*") return std::string(text);
  if (text.find_first_of("\"'`") != std::string_view::npos)
    return invalid("has quotes, which are part of no origin: leave them out");
  if (std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) >= 0x80; })) {
    return invalid(
        "has letters beyond ASCII: write the host as browsers send it, in Punycode (xn--…)");
  }
  if (text.find('*') != std::string_view::npos)
    return invalid("has a wildcard: list each origin, or give just * for any");
  const std::size_t host = text.find("://");
  if (host != std::string_view::npos &&
      text.find_first_of("/?#", host + 3) != std::string_view::npos)
    return invalid("has a path or a slash at its end: leave it out");
  std::optional<std::string> normal = NormalOrigin(text);
  if (!normal) {
    return invalid(
        "is not an origin: write scheme, host and maybe port, such as https://example.com:8443");
  }
  return *std::move(normal);
}

bool OriginAllowed(const std::vector<std::string>& allowed, std::string_view origin,
                   std::string_view host, bool tls) {
  if (origin.empty()) return true;
  if (std::ranges::find(allowed, "*") != allowed.end()) return true;
  if (!allowed.empty()) {
    const std::optional<std::string> normal = NormalOrigin(origin);
    return normal && std::ranges::find(allowed, *normal) != allowed.end();
  }
  const std::optional<Origin> from = ParseOrigin(origin);
  const std::optional<HostPort> here = ParseHost(host);
  if (!from || !here || (tls && from->scheme != "https")) return false;
  return from->host.SameAs(*here, DefaultPort(from->scheme));
}

}  // namespace herald
