#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace herald {

// An origin of the Origin field in the form that browsers send (RFC 6454 §6.2): scheme and host in
// lower case, without the scheme's own port. Nothing if it is none; `null` is one.
std::optional<std::string> NormalOrigin(std::string_view origin);

// One entry of the setting allowed_origins, in the form that NormalOrigin gives, or `*`.
// kInvalidArgument says why no browser would ever send it.
absl::StatusOr<std::string> ParseAllowedOrigin(std::string_view text);

// True if the Origin field allows the request: absent (not a browser), the same host and port as
// `host`, or on the list, whose entries ParseAllowedOrigin made. With `tls` the same host must come
// by https: an attacker on the network can forge pages of http. Without, a proxy may have ended TLS.
bool OriginAllowed(const std::vector<std::string>& allowed, std::string_view origin,
                   std::string_view host, bool tls = false);

}  // namespace herald
