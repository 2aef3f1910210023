#pragma once

namespace herald::bench {

// The floor of gRPC: takes Push streams on 127.0.0.1:`port`, and answers each message with as many
// bytes as Herald answers a request of 64 commands with; nothing is parsed. Serves until it is
// ended; returns an exit code.
//
// Calls are served as Herald's are (service/rpc), on one thread. With `callbacks` they are served as
// gRPC's documentation has it, by its callback API and the threads that this brings.
int ServeEcho(int port, bool callbacks);

}  // namespace herald::bench
