// The address that a key set is fetched from.
//
// Threads: a plain value.
// Errors:  kInvalidArgument, saying what is wrong; never with the user or password of a URL.
// Spec:    RFC 3986.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace herald {

struct JwksUrl {
  bool tls = true;
  std::string host;  // a name or an address, without brackets
  std::uint16_t port = 443;
  std::string target;  // path and query, begins with a slash
};

// Takes https; http only with `dev`, and only for localhost and loopback addresses. No user, password
// or fragment.
absl::StatusOr<JwksUrl> ParseJwksUrl(std::string_view text, bool dev);

}  // namespace herald
