#pragma once

#include "session/close.h"
#include "ws/admission.h"
#include "ws/client_socket.h"
#include "ws/refusals.h"

namespace herald {

// What a client that was not admitted receives.
Refusal RefusalOf(Admission::Verdict verdict);
// The same once the connection has been upgraded.
CloseCode CloseCodeOf(Admission::Verdict verdict);

// Ends a connection for which there is no room, without keeping its descriptor for one more turn: a
// plain HTTP client receives the status if the kernel takes it at once, a TLS client nothing.
//
// Threads: the socket's.
void RefuseAtOnce(TcpSocket& socket, bool tls, const Refusal& refusal);

}  // namespace herald
