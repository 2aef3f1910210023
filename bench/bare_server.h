#pragma once

namespace herald::bench {

// The floor of fan-out: what it costs to do nothing but `send`. Accepts WebSocket upgrades on
// 127.0.0.1:`port`; each frame of a client of /pub is a message; whatever one read of it brought
// goes to all clients of /sub, framed, by one blocking `send` each, or by as many handed to io_uring
// at once: no table, no queue, no checks. Serves until it is ended; returns an exit code.
int ServeBare(int port, bool io_uring);

}  // namespace herald::bench
