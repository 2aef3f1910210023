#pragma once

#include "session/shard.h"
#include "ws/frame_stream.h"
#include "ws/front_end.h"

namespace herald {

// Reads one HTTP/1.1 request from a new connection and answers it: `/ws` becomes a WebSocket
// session, with `--dev` the demo page is served, all else is refused with the fitting status. One
// request a connection.
//
// Threads:   the shard's. Keeps itself alive until it has answered.
// Limits:    `max_header_bytes` (431), `handshake_timeout` (408).
void StartHttpConnection(FrontEnd& front_end, Shard& shard, TcpSocket socket,
                         const boost::asio::ip::tcp::endpoint& peer);

}  // namespace herald
