#pragma once

namespace herald::bench {

// The floor of gRPC: takes Push streams on 127.0.0.1:`port`, and answers each message with as many
// bytes as Herald answers a request of 64 commands with; nothing is parsed. Calls are served as
// Herald's are (service/rpc), on one thread. Serves until it is ended; returns an exit code.
int ServeEcho(int port);

}  // namespace herald::bench
