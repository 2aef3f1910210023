#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"

namespace herald::bench {

// Publishes to all subscribers, in order.
//
// Threads: one.
class Publisher {
 public:
  virtual ~Publisher() = default;
  // Hands all of them over, as one burst, and returns when they are on their way.
  virtual absl::Status Publish(std::span<const std::string> payloads) = 0;
};

// How a peer takes messages; from its peer.json.
struct PeerPublishing {
  int port = 0;
  bool http = false;  // else a WebSocket, each text frame of which is a message
  std::string path;
  std::map<std::string, std::string> headers;  // with http
  std::string body = "%PAYLOAD%";              // with http
};

absl::StatusOr<std::unique_ptr<Publisher>> MakePeerPublisher(const PeerPublishing& how);

}  // namespace herald::bench
