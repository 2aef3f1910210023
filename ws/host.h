#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace herald {

// Host and port of a URL or a Host field.
struct HostPort {
  std::string host;  // lower case; an IPv6 address in brackets, in its shortest form
  std::optional<std::uint16_t> port;

  // Equal hosts, and equal ports where `default_port` stands for an absent one.
  bool SameAs(const HostPort& other, std::uint16_t default_port) const {
    return host == other.host && port.value_or(default_port) == other.port.value_or(default_port);
  }
};

// `host`, `host:port`, `1.2.3.4`, `[::1]:80`. Names hold letters, digits and `-._~` only: no DNS
// name has the other characters that RFC 3986 §3.2.2 lets in. Nothing for anything else.
std::optional<HostPort> ParseHost(std::string_view text);

// The setting's words: a host name or an address without a port, or `loopback`. In normal form.
absl::StatusOr<std::string> ParseAllowedHost(std::string_view text);

// True if requests for this Host are answered: `allowed` is empty or names it. `loopback` stands for
// localhost, names below it, 127.0.0.0/8 and [::1]. Ports do not matter. A web page that had its own
// name point to this server (DNS rebinding) sends that name as Host.
bool HostAllowed(const std::vector<std::string>& allowed, std::string_view host);

}  // namespace herald
