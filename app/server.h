#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "app/admin_server.h"
#include "app/ban_log.h"
#include "app/config.h"
#include "app/connection_watch.h"
#include "app/descriptor_budget.h"
#include "app/drain.h"
#include "app/file_watch.h"
#include "app/grpc_warnings.h"
#include "app/jwks_keys.h"
#include "app/listener_watch.h"
#include "app/memory_watch.h"
#include "app/metrics.h"
#include "app/nats_watch.h"
#include "app/probe.h"
#include "app/rate_log.h"
#include "app/reload.h"
#include "app/replicas.h"
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
  // `load` reads the configuration again, for Reload.
  using LoadAgain = std::function<absl::StatusOr<Config>()>;
  Server(Config config, boost::asio::io_context& io, LoadAgain load)
      : config_(std::move(config)),
        io_(io),
        load_(std::move(load)),
        drain_seconds_(config_.drain_seconds),
        second_(io),
        tick_(io) {}
  ~Server();

  // Opens all three ports, or says in one line why not.
  absl::Status Start();

  // Begins the orderly end, over so long or as configured, and stops `io` after it; called again it
  // hurries. Any thread, once Start has returned. How many sessions there are.
  std::uint64_t StartDrain(std::optional<absl::Duration> over);

  // Reads the configuration again and lets what may change count at once, all of it or, when something
  // is wrong, nothing. Logs what has become of it. On the thread that runs `io`.
  absl::StatusOr<AdminActions::Reloaded> Reload();

 private:
  // Null where there are no keys.
  static absl::StatusOr<std::shared_ptr<TokenVerifier>> MakeVerifier(const Config& config);
  // Logs what is strange about the file.
  static absl::StatusOr<std::shared_ptr<const ProducerTable>> LoadProducers(const Config& config);
  std::size_t MaxOutboundBytesPerShard(const Config& config) const;
  DescriptorBudget Descriptors(const Config& config) const;
  FrontEndOptions MakeFrontEndOptions(const Config& config) const;
  absl::StatusOr<AdminActions::Reloaded> TryReload();
  // What `change` says counts from now on, with the keys and tokens read for it.
  void Apply(const ConfigChange& change, std::shared_ptr<TokenVerifier> verifier,
             std::shared_ptr<const ProducerTable> producers);
  // `table` counts from now on; says in the log whose rights have changed.
  void ReplaceProducers(std::shared_ptr<const ProducerTable> table);
  void ReloadProducersIfChanged();
  absl::Status LoadClientTls();
  absl::Status CheckIoUring();
  void ReloadClientTls();
  void ReloadKeys(absl::Time now);
  // Lets all sessions check their rights, soon.
  void CheckRights();
  // The same, if a key that was there is gone.
  void CheckKeys();
  absl::Status MakeShards();
  absl::Status MakeBroker(std::shared_ptr<const TopicRules> rules);
  absl::Status OpenPorts();
  void EverySecond();
  void EveryTick();
  std::string NotReady() const;

  Config config_;  // changed on the thread that runs `io`
  boost::asio::io_context& io_;
  const LoadAgain load_;
  std::atomic<std::uint32_t> drain_seconds_;
  boost::asio::steady_timer second_;
  boost::asio::steady_timer tick_;
  std::uint64_t open_files_ = 0;
  std::size_t shard_count_ = 0;
  std::shared_ptr<TokenVerifier> verifier_;
  std::vector<std::shared_ptr<TokenVerifier>> old_verifiers_;  // a handshake may still be at one
  std::shared_ptr<const KeySet> checked_keys_;  // those that the sessions were last checked against
  std::unique_ptr<JwksKeys> jwks_keys_;         // null without jwks_url
  BanList bans_;
  BanLog ban_log_;
  std::unique_ptr<TlsContext> client_tls_;
  bool use_io_uring_ = false;
  ProducerAuth producer_auth_;
  FileWatch producers_file_;

  CallMemory call_memory_{0};                 // of its own limit once the ports are open
  std::unique_ptr<Idempotency> idempotency_;  // shards may hold callbacks into it
  std::shared_ptr<TopicRules> rules_;
  TopicIndex index_;
  std::unique_ptr<EventHub> events_;
  std::unique_ptr<PresenceNews> presence_;
  std::unique_ptr<SharedDeflate> deflate_;  // null: compression is off
  // Outlives the shards, whose contexts hold connections to the end.
  std::unique_ptr<FrontEnd> front_end_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::unique_ptr<NatsWatch> nats_watch_;  // null with the embedded broker
  std::unique_ptr<NatsConnection> nats_;   // the same
  std::unique_ptr<Replicas> replicas_;     // the same; outlives the broker
  std::unique_ptr<Broker> broker_;
  std::unique_ptr<SessionTable> table_;
  ReceiptClock receipts_;
  std::unique_ptr<CommandRunner> runner_;
  std::unique_ptr<MemoryWatch> memory_;
  std::unique_ptr<NodeStats> stats_;
  std::unique_ptr<Probe> probe_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<Questions> questions_;
  std::unique_ptr<GrpcServer> grpc_;
  RefusalLog refusal_log_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<RateLog> rate_log_;
  std::unique_ptr<AdminServer> admin_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<ListenerWatch> listener_watch_;
  std::unique_ptr<ConnectionWatch> connection_watch_;

  Mutex drain_mutex_;
  std::unique_ptr<Drain> drain_ ABSL_GUARDED_BY(drain_mutex_);  // null: it does not drain
  std::thread drain_thread_;
};

}  // namespace herald
