#include "session/trusted_proxies.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace herald {
namespace {

std::string_view Trim(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") + 1 - begin);
}

// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`: proxies write
// all of these. Port 0: none was given.
std::optional<ClientEndpoint> ParseEntry(std::string_view text) {
  std::string_view host = text;
  std::string_view port;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    host = text.substr(1, end - 1);
    port = text.substr(end + 1);
    if (!port.empty() && port[0] != ':') return std::nullopt;
  } else if (std::count(text.begin(), text.end(), ':') == 1) {
    host = text.substr(0, text.find(':'));
    port = text.substr(host.size());
  }
  const auto address = ClientAddress::Parse(host);
  if (!address) return std::nullopt;
  ClientEndpoint endpoint{*address, 0};
  if (port.empty()) return endpoint;
  port.remove_prefix(1);
  const auto [stop, error] = std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
  if (error != std::errc() || stop != port.data() + port.size()) return std::nullopt;
  return endpoint;
}

}  // namespace

bool TrustedProxies::Contains(const ClientAddress& address) const {
  return std::any_of(ranges_.begin(), ranges_.end(),
                     [&](const AddressRange& range) { return range.Contains(address); });
}

ClientEndpoint TrustedProxies::ClientOf(const ClientEndpoint& peer,
                                        std::string_view forwarded_for) const {
  ClientEndpoint client = peer;
  while (!forwarded_for.empty() && Contains(client.address)) {
    const std::size_t comma = forwarded_for.rfind(',');
    const bool last = comma == std::string_view::npos;
    const auto entry = ParseEntry(Trim(last ? forwarded_for : forwarded_for.substr(comma + 1)));
    if (!entry) break;
    client = *entry;
    forwarded_for = last ? std::string_view() : forwarded_for.substr(0, comma);
  }
  return client;
}

}  // namespace herald
