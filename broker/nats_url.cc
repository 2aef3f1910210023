#include "broker/nats_url.h"

#include <algorithm>

namespace herald {

std::string WithoutSecrets(std::string_view text) {
  constexpr std::string_view kScheme = "://";
  std::string masked;
  for (;;) {
    const std::size_t scheme = text.find(kScheme);
    if (scheme == std::string_view::npos) return masked.append(text);
    const std::size_t host = scheme + kScheme.size();
    masked.append(text.substr(0, host));
    text.remove_prefix(host);
    // A URL ends with a blank or where the next one begins. A password may hold commas and slashes.
    const std::size_t end = std::min(text.find_first_of(" \t\n\"'"), text.find(kScheme));
    const std::size_t at = text.substr(0, end).rfind('@');
    if (at == std::string_view::npos) continue;
    masked.append("...");
    text.remove_prefix(at);
  }
}

std::string HostAndPort(std::string_view url) {
  if (const std::size_t scheme = url.find("://"); scheme != std::string_view::npos)
    url.remove_prefix(scheme + 3);
  if (const std::size_t at = url.rfind('@'); at != std::string_view::npos)
    url.remove_prefix(at + 1);
  url = url.substr(0, url.find('/'));
  const std::size_t bracket = url.rfind(']');
  const std::size_t colon = url.rfind(':');
  const bool port =
      colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  return std::string(url) + (port ? "" : ":4222");
}

}  // namespace herald
