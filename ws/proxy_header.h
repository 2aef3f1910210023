#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "session/client_address.h"

namespace herald {

// What the first bytes of a connection say as a PROXY protocol header, version 1 or 2.
struct ProxyHeader {
  enum class State {
    kAbsent,    // something else begins here
    kNeedMore,  // so far it may be a header
    kComplete,
    kBad,  // it begins as a header and is none
  };

  static constexpr std::size_t kMaxBytesV1 = 107;
  // With the TLVs of certificates. The standard allows 65,551; a header that large is an attack.
  static constexpr std::size_t kMaxBytesV2 = 4096;

  State state = State::kAbsent;
  std::size_t size = 0;  // bytes of a complete header; what follows is the client's
  // The client, in a complete header that names one. Empty for UNKNOWN, LOCAL (the proxy's own health
  // check), AF_UNSPEC and AF_UNIX: then the peer of the connection is the client.
  std::optional<ClientEndpoint> source;
  const char* error = "";  // of a bad one
};

// Looks at `bytes` only; never throws, allocates nothing.
//
// Source: https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt §2. TLVs must fit into the
//         header and are skipped; a CRC-32C among them is not checked, for TCP has checked the bytes.
ProxyHeader ParseProxyHeader(std::string_view bytes);

}  // namespace herald
