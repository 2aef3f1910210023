#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "app/admin_server.h"
#include "app/config.h"
#include "app/drain.h"
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
// Threads:   Start and the destructor on the thread that runs `io`. A drain has its own, so that the
//            admin port answers meanwhile.
class Server {
 public:
  // `io` carries the admin port and what happens once a second.
  Server(Config config, boost::asio::io_context& io)
      : config_(std::move(config)), io_(io), second_(io), tick_(io) {}
  ~Server();

  // Opens all three ports, or says in one line why not.
  absl::Status Start();

  // Begins the orderly end, over so long or as configured, and stops `io` after it; called again it
  // hurries. Any thread, once Start has returned. How many sessions there are.
  std::uint64_t StartDrain(std::optional<absl::Duration> over);

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

  Mutex drain_mutex_;
  std::unique_ptr<Drain> drain_ ABSL_GUARDED_BY(drain_mutex_);  // null: it does not drain
  std::thread drain_thread_;
};

}  // namespace herald
