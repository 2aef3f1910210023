#pragma once

#include <string>

#include "session/client_address.h"
#include "session/shard.h"
#include "ws/admission.h"
#include "ws/frame_stream.h"
#include "ws/front_end.h"

namespace herald {

// Reads one HTTP/1.1 request from a new connection and answers it: `/ws` becomes a WebSocket
// session, AnswerPage serves the files, everything else is refused, counted and kept for the log.
// One request a connection.
//
// `ticket`: its admission, which goes over to the session. `prefix`: bytes that were read already;
// empty with TLS.
// Threads:   the shard's. Keeps itself alive until it has answered.
// Limits:    `max_header_bytes` (431), `handshake_timeout` (408), 5 s to take the answer. Behind an
//            answer to an unfinished request, 64 KiB and 1 s are read away. Handshakes are charged
//            before TLS begins, without TLS when an upgrade is asked for.
void StartHttpConnection(FrontEnd& front_end, Shard& shard, TcpSocket socket,
                         const ClientEndpoint& peer, Admission::Ticket ticket, std::string prefix);

}  // namespace herald
