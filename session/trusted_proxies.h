#pragma once

#include <string_view>
#include <vector>

#include "session/address_range.h"
#include "session/client_address.h"

namespace herald {

// Whether a trusted proxy's connection begins with a PROXY header.
enum class ProxyProtocol { kOff, kOptional, kRequired };

// The proxies that are believed when they name the client they speak for.
//
// Threads: a plain value.
class TrustedProxies {
 public:
  TrustedProxies() = default;
  explicit TrustedProxies(std::vector<AddressRange> ranges) : ranges_(std::move(ranges)) {}

  bool empty() const { return ranges_.empty(); }
  bool Contains(const ClientAddress& address) const;

  // The client behind `peer`, a proxy or not. `forwarded_for`: all X-Forwarded-For fields of the
  // request in order, joined by commas. Each proxy has added the address it was called from at the
  // end; so this goes from the end to the first address that is no trusted proxy's. What stands before
  // that, the client may have written itself. An entry that is no address ends the search.
  ClientEndpoint ClientOf(const ClientEndpoint& peer, std::string_view forwarded_for) const;

 private:
  std::vector<AddressRange> ranges_;
};

}  // namespace herald
