// Where to listen: an IP address and a port.
//
// Names are not resolved: what a name means may change behind the check whether an address is
// loopback. `localhost` is the one exception and means 127.0.0.1.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace herald {

struct Address {
  std::string host;        // an IP literal in its shortest form, without brackets
  std::uint16_t port = 0;  // 0 = any free port

  friend bool operator==(const Address&, const Address&) = default;
};

// Reads `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080` or `:8080` (all IPv4 addresses, 0.0.0.0;
// write `[::]:8080` for IPv6). kInvalidArgument says what is wrong.
absl::StatusOr<Address> ParseAddress(std::string_view text);

// What ParseAddress reads: IPv6 in brackets.
std::string ToString(const Address& address);

// 127.0.0.0/8 in IPv4 or mapped to IPv6, or ::1.
bool IsLoopback(const Address& address);

}  // namespace herald
