#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "ws/accept_errors.h"

namespace herald {

// The operators' port: /healthz (the process answers), /readyz (messages pass; 503 with the reason
// if not) and /metrics (Prometheus text format).
//
// Threads:   runs on the `io` it is given, which one thread runs.
// Limits:    kMaxConnections; one more closes the oldest. See AdminConnection.
class AdminServer {
 public:
  static constexpr std::size_t kMaxConnections = 64;

  struct Handlers {
    std::function<std::string()> not_ready;  // why not; empty: ready
    std::function<std::string()> metrics;
  };
  static absl::StatusOr<std::unique_ptr<AdminServer>> Open(
      boost::asio::io_context& io, const boost::asio::ip::tcp::endpoint& endpoint,
      Handlers handlers, AcceptErrors& errors);
  ~AdminServer();
  boost::asio::ip::tcp::endpoint endpoint() const;

 private:
  class Impl;
  explicit AdminServer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<Impl> impl_;
};

}  // namespace herald
