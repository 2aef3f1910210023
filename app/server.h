#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "app/admin_server.h"
#include "app/config.h"
#include "app/metrics.h"
#include "app/probe.h"
#include "broker/broker.h"
#include "broker/nats_connection.h"
#include "service/grpc_server.h"
#include "ws/listener.h"
#include "ws/shared_deflate.h"

namespace herald {

// One replica: makes all parts, in the order in which they depend on each other, and ends them in
// the reverse.
//
// Threads:   Start and the destructor on the thread that runs `io`; Drain on another, so that the
//            admin port answers meanwhile.
class Server {
 public:
  // `io` carries the admin port and what happens once a second.
  Server(Config config, boost::asio::io_context& io)
      : config_(std::move(config)), io_(io), second_(io), tick_(io) {}
  ~Server();

  // Opens all three ports, or says in one line why not.
  absl::Status Start();

  // The orderly end: not ready, no new sessions or commands, results of open streams written,
  // sessions told to come back and closed with 1012. Returns when they are gone, or after some
  // seconds. Logs one summary line.
  void Drain();

 private:
  absl::Status MakeVerifier();
  absl::Status LoadClientTls();
  absl::Status CheckIoUring();
  void ReloadClientTls();
  absl::Status MakeShards();
  absl::Status MakeBroker(std::shared_ptr<const TopicRules> rules);
  absl::Status OpenPorts();
  void EverySecond();
  void EveryTick();
  std::string NotReady() const;

  const Config config_;
  boost::asio::io_context& io_;
  boost::asio::steady_timer second_;
  boost::asio::steady_timer tick_;
  std::uint64_t max_memory_bytes_ = 0;
  std::unique_ptr<TokenVerifier> verifier_;
  std::unique_ptr<TlsContext> client_tls_;
  bool use_io_uring_ = false;
  ProducerAuth producer_auth_;

  std::unique_ptr<Idempotency> idempotency_;  // shards may hold callbacks into it
  TopicIndex index_;
  std::unique_ptr<EventHub> events_;
  std::unique_ptr<PresenceNews> presence_;
  std::unique_ptr<SharedDeflate> deflate_;  // null: compression is off
  std::vector<std::unique_ptr<Shard>> shards_;
  std::unique_ptr<NatsConnection> nats_;  // null with the embedded broker
  std::unique_ptr<Broker> broker_;
  std::unique_ptr<SessionTable> table_;
  std::unique_ptr<FrontEnd> front_end_;
  ReceiptClock receipts_;
  std::unique_ptr<CommandRunner> runner_;
  std::unique_ptr<NodeStats> stats_;
  std::unique_ptr<Probe> probe_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<GrpcServer> grpc_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<AdminServer> admin_;
  std::unique_ptr<Listener> listener_;
};

}  // namespace herald
