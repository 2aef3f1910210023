#pragma once

#include <string>
#include <string_view>

namespace herald {

// `text` with `...` in place of the user, password or token of each URL in it. For logs and errors.
std::string WithoutSecrets(std::string_view text);

// `host:port` of a NATS URL, without user, password and scheme; the port is 4222 if there is none.
std::string HostAndPort(std::string_view url);

}  // namespace herald
