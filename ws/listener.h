#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "session/shard.h"
#include "ws/front_end.h"

namespace herald {

// The client port, open on every shard: one listening socket each (SO_REUSEPORT), so that the
// kernel spreads connections and a connection never changes its thread.
//
// Every connection is admitted (admission.h) before a byte of it is read.
//
// Threads:   Open and Close from any; accepting on the shards. Must be closed before the shards
//            stop.
// Errors:    an accept that fails is counted, and the acceptor pauses for 10 ms to 1 s.
class Listener {
 public:
  // Binds at once. kUnavailable with one clear line if the port is taken or the address is not of
  // this machine.
  static absl::StatusOr<std::unique_ptr<Listener>> Open(
      FrontEnd& front_end, std::vector<std::unique_ptr<Shard>>& shards,
      const boost::asio::ip::tcp::endpoint& endpoint);
  ~Listener();

  // With the port that the kernel chose for port 0.
  boost::asio::ip::tcp::endpoint endpoint() const { return endpoint_; }
  // Stops accepting. Connections stay.
  void Close();

 private:
  class Acceptor;
  Listener() = default;

  boost::asio::ip::tcp::endpoint endpoint_;
  std::vector<std::shared_ptr<Acceptor>> acceptors_;
};

}  // namespace herald
