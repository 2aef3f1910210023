#pragma once

#include "session/client_address.h"
#include "ws/admission.h"
#include "ws/client_socket.h"
#include "ws/front_end.h"

namespace herald {

// Reads the PROXY header of a connection from a trusted proxy, before TLS and before HTTP, and starts
// the HTTP connection with the client's own address. `proxy_protocol` says whether there must be one.
//
// Threads:   the shard's. Keeps itself alive until it has read the header.
// Limits:    `handshake_timeout`; ProxyHeader::kMaxBytesV2.
// Errors:    a malformed header closes the connection, and so does a missing one where it is required.
void ReadProxyHeader(FrontEnd& front_end, Shard& shard, TcpSocket socket,
                     const ClientEndpoint& peer, Admission::Ticket ticket);

}  // namespace herald
