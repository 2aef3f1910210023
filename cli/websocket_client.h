#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace herald::cli {

struct WebSocketUrl {
  bool secure = false;  // wss
  std::string host;     // without brackets
  std::string port;
  std::string target;  // path and query, begins with '/'
};

// `ws://host[:port][/path][?query]`, or `wss://`. kInvalidArgument says what is wrong.
absl::StatusOr<WebSocketUrl> ParseWebSocketUrl(std::string_view url);

// One WebSocket connection, as a browser would make it.
//
// Threads: Run() on one thread, which the callbacks use too; Send() and Close() from any.
// Limits:  64 messages wait to be sent, 16 MiB a message received.
// Spec:    RFC 6455.
class WebSocketClient {
 public:
  struct Options {
    WebSocketUrl url;
    std::string subprotocol;   // empty: none is asked for
    std::string bearer_token;  // empty: no Authorization header
    std::string ca_file;       // for wss; empty: the system's authorities
    std::string server_name;   // expected in the certificate; empty: the URL's host
    std::chrono::milliseconds connect_timeout = std::chrono::seconds(10);
    // Close in good order after so long.
    std::optional<std::chrono::milliseconds> limit;
  };
  struct Callbacks {
    std::function<void()> on_open;
    std::function<void(std::string_view message, bool text)> on_message;
  };
  // How it ended.
  struct End {
    enum How {
      kStopped,  // by Close(), `limit`, SIGINT or SIGTERM
      kClosed,   // by the server: `code` and `reason` of the close frame, 1006 without one
      kRefused,  // HTTP instead of an upgrade: `code` is the status, `reason` the first line of the
                 // body
      kUnreachable,  // `reason` says why
    };
    How how = kUnreachable;
    int code = 0;
    std::string reason;
  };

  explicit WebSocketClient(Options options);
  ~WebSocketClient();

  // Connects and stays until the end. SIGINT and SIGTERM close in good order meanwhile. Once.
  End Run(Callbacks callbacks);
  // Queues a text message. On other threads than Run()'s it waits while the queue is full. False
  // after the end.
  bool Send(std::string message);
  // Close frame 1000, then the end.
  void Close();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace herald::cli
