#pragma once

#include "session/shard.h"
#include "ws/frame_stream.h"
#include "ws/front_end.h"

namespace herald {

// Reads one HTTP/1.1 request from a new connection and answers it: `/ws` becomes a WebSocket
// session, AnswerPage serves the files, everything else is refused, counted and kept for the log.
// One request a connection.
//
// Threads:   the shard's. Keeps itself alive until it has answered.
// Limits:    `max_header_bytes` (431), `handshake_timeout` (408), 5 s to take the answer. Behind an
//            answer to an unfinished request, 64 KiB and 1 s are read away.
void StartHttpConnection(FrontEnd& front_end, Shard& shard, TcpSocket socket,
                         const boost::asio::ip::tcp::endpoint& peer);

}  // namespace herald
