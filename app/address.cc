#include "app/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <array>
#include <charconv>
#include <optional>

#include "absl/status/status.h"
#include "fmt/format.h"

namespace herald {
namespace {

std::optional<in_addr> AsIpv4(const std::string& host) {
  in_addr address;
  if (inet_pton(AF_INET, host.c_str(), &address) != 1) return std::nullopt;
  return address;
}

std::optional<in6_addr> AsIpv6(const std::string& host) {
  in6_addr address;
  if (inet_pton(AF_INET6, host.c_str(), &address) != 1) return std::nullopt;
  return address;
}

std::string ShortestForm(const in6_addr& address) {
  std::array<char, INET6_ADDRSTRLEN> text;
  return inet_ntop(AF_INET6, &address, text.data(), text.size());
}

absl::Status NotAnAddress(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(fmt::format(
      "\"{}\" is not an address like 127.0.0.1:8080, [::1]:8080 or :8080: {}", text, why));
}

}  // namespace

absl::StatusOr<Address> ParseAddress(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return NotAnAddress("", "it has a zero byte");
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return NotAnAddress(text, "it has no port");
  std::string host(text.substr(0, colon));
  const std::string_view port_text = text.substr(colon + 1);

  Address address;
  const char* const end = port_text.data() + port_text.size();
  const auto [stop, error] = std::from_chars(port_text.data(), end, address.port);
  if (error != std::errc() || stop != end) return NotAnAddress(text, "the port is not 0 to 65535");

  if (host.starts_with('[')) {
    if (!host.ends_with(']')) return NotAnAddress(text, "the bracket is not closed");
    const std::optional<in6_addr> ipv6 = AsIpv6(host.substr(1, host.size() - 2));
    if (!ipv6) return NotAnAddress(text, "what is in brackets is not IPv6");
    address.host = ShortestForm(*ipv6);
  } else if (host.find(':') != std::string::npos) {
    return NotAnAddress(text, "IPv6 stands in brackets");
  } else if (host.empty()) {
    address.host = "0.0.0.0";
  } else if (host == "localhost") {
    address.host = "127.0.0.1";
  } else if (AsIpv4(host)) {
    address.host = host;
  } else {
    return NotAnAddress(text, "the host is not an IP address, and names are not resolved");
  }
  return address;
}

std::string ToString(const Address& address) {
  const bool ipv6 = address.host.find(':') != std::string::npos;
  return ipv6 ? fmt::format("[{}]:{}", address.host, address.port)
              : fmt::format("{}:{}", address.host, address.port);
}

bool IsLoopback(const Address& address) {
  if (const std::optional<in_addr> ipv4 = AsIpv4(address.host)) {
    return ntohl(ipv4->s_addr) >> 24 == 127;
  }
  if (const std::optional<in6_addr> ipv6 = AsIpv6(address.host)) {
    return IN6_IS_ADDR_LOOPBACK(&*ipv6) ||
           (IN6_IS_ADDR_V4MAPPED(&*ipv6) && ipv6->s6_addr[12] == 127);
  }
  return address.host == "localhost";
}

}  // namespace herald
