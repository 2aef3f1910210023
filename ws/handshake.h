#pragma once

#include <boost/beast/http/status.hpp>
#include <string>

#include "ws/front_end.h"

namespace herald {

// Why a request is not upgraded.
struct Refusal {
  boost::beast::http::status status;
  std::string reason;       // one line for people, in the response's body
  absl::Status token = {};  // not OK: the token was refused, and why (RefuseToken)
  std::string origin = {};  // not empty: it is not allowed
};

// Checks the upgrade request of `GET /ws`, before anything is answered: method, version and key
// (RFC 6455 §4.2.1), origin, subprotocol, token, topics. The caller adds the request and the address.
// Order:     what is wrong with the protocol first, then who may not.
//
// Threads:   any. Signature checks take up to 100 µs.
absl::StatusOr<UpgradeDetails> CheckUpgrade(const FrontEnd& front_end,
                                            const UpgradeRequest& request, absl::Time now,
                                            Refusal& refusal);

// True if the `Origin` header allows the request: absent (not a browser), the same host and port as
// `Host`, or on the list. With `tls` the same host is so by https only, for anyone on the way can
// forge pages of http; without, a proxy may have taken the TLS off.
bool OriginAllowed(const std::vector<std::string>& allowed, std::string_view origin,
                   std::string_view host, bool tls = false);

}  // namespace herald
