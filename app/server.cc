#include "app/server.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <sstream>
#include <thread>

#include "absl/time/clock.h"
#include "app/derive_memory.h"
#include "app/dev_warning.h"
#include "app/file_permissions.h"
#include "app/logging.h"
#include "app/nats_options.h"
#include "app/process_limits.h"
#include "app/refusal_log.h"
#include "app/watched_ports.h"
#include "broker/memory_broker.h"
#include "broker/nats_broker.h"
#include "broker/nats_url.h"
#include "fmt/format.h"
#include "session/random.h"
#include "ws/codec.h"
#include "ws/uring_sender.h"

namespace herald {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

tcp::endpoint EndpointOf(const Address& address) {
  return {asio::ip::make_address(address.host), address.port};
}

std::string Text(const tcp::endpoint& endpoint) {
  return ToString(Address{endpoint.address().to_string(), endpoint.port()});
}

Algorithm ToAlgorithm(JwtAlgorithm algorithm) {
  switch (algorithm) {
    case JwtAlgorithm::kRs256:
      return Algorithm::kRs256;
    case JwtAlgorithm::kEs256:
      return Algorithm::kEs256;
    case JwtAlgorithm::kEdDsa:
      return Algorithm::kEdDsa;
    case JwtAlgorithm::kHs256:
    case JwtAlgorithm::kNotSet:
      break;
  }
  return Algorithm::kHs256;
}

}  // namespace

absl::Status Server::Start() {
  absl::StatusOr<std::shared_ptr<TokenVerifier>> verifier = MakeVerifier(config_);
  if (!verifier.ok()) return verifier.status();
  verifier_ = *std::move(verifier);
  if (verifier_) checked_keys_ = verifier_->Keys();
  if (!config_.jwks_url.empty()) jwks_keys_ = std::make_unique<JwksKeys>(config_, verifier_);
  if (absl::Status status = LoadClientTls(); !status.ok()) return status;
  if (absl::Status status = CheckIoUring(); !status.ok()) return status;
  producers_file_.Changed(config_.producers_file);
  absl::StatusOr<std::shared_ptr<const ProducerTable>> producers = LoadProducers(config_);
  if (!producers.ok()) return producers.status();
  producer_auth_.Replace(*std::move(producers));
  producer_auth_.set_on_refused(
      [](std::string_view producer, std::string_view what, std::string_view why) {
        LogWarn("a producer is refused", {{"producer", producer}, {"by", what}, {"reason", why}});
      });
  if (absl::Status status = MakeShards(); !status.ok()) return status;
  executor_ = std::make_unique<Executor>();
  const auto push_streams = [this] { return grpc_ ? grpc_->push_streams() : 0; };
  stats_ = std::make_unique<NodeStats>(*table_, *broker_, *runner_, *events_, push_streams);
  questions_ = std::make_unique<Questions>(
      *table_, config_.node_name, std::string(broker_->name()),
      [this] { return stats_->Describe(absl::Now()); }, *executor_,
      replicas_ ? &replicas_->cluster() : nullptr);
  if (replicas_) {
    replicas_->Attach(*runner_, *table_, *events_, *idempotency_, bans_);
    if (absl::Status status = replicas_->Start(); !status.ok()) return status;
    replicas_->bans().Learn();
  }
  metrics_ = std::make_unique<Metrics>(
      *stats_, *front_end_, *table_, *broker_, *events_, *presence_, *idempotency_, *memory_,
      producer_auth_, push_streams,
      [this] { return grpc_ ? grpc_->refusals() : CallRefusals::Totals{}; },
      std::string(broker_->name()), bans_, jwks_keys_ ? &jwks_keys_->fetcher() : nullptr);
  rate_log_ = std::make_unique<RateLog>(*front_end_);
  probe_ = std::make_unique<Probe>(*broker_, shards_, config_.node_name);
  if (absl::Status status = OpenPorts(); !status.ok()) return status;
  WarnOfReadableSecrets(config_);
  WarnOfDev(config_);
  probe_->Send();
  EverySecond();
  EveryTick();
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<TokenVerifier>> Server::MakeVerifier(const Config& config) {
  if (!config.has_client_keys()) return nullptr;
  TokenVerifier::Options options;
  const JwtAlgorithm pinned = config.pinned_jwt_algorithm();
  if (!config.jwt_secret_file.empty()) {
    options.keys.push_back({KeySource::Kind::kSecret, Algorithm::kHs256, config.jwt_secret_file});
  }
  if (!config.jwt_public_key_file.empty()) {
    options.keys.push_back(
        {KeySource::Kind::kPem, ToAlgorithm(pinned), config.jwt_public_key_file});
  }
  if (!config.jwks_file.empty())
    options.keys.push_back({KeySource::Kind::kJwks, {}, config.jwks_file});
  if (!config.jwks_url.empty())
    options.keys.push_back({KeySource::Kind::kJwksUrl, {}, config.jwks_url});
  if (pinned != JwtAlgorithm::kNotSet) options.algorithms.push_back(ToAlgorithm(pinned));
  options.audience = config.jwt_audience;
  options.issuer = config.jwt_issuer;
  options.require_exp = config.jwt_require_exp;
  options.max_lifetime = config.jwt_max_lifetime;
  absl::StatusOr<std::unique_ptr<TokenVerifier>> verifier =
      TokenVerifier::Create(std::move(options));
  if (!verifier.ok()) return verifier.status();
  LogKeyNotes(**verifier);
  return *std::move(verifier);
}

absl::StatusOr<std::shared_ptr<const ProducerTable>> Server::LoadProducers(const Config& config) {
  if (config.producers_file.empty()) return std::make_shared<const ProducerTable>();
  std::vector<std::string> warnings;
  auto table = ProducerAuth::Load(config.producers_file, warnings);
  for (const std::string& warning : warnings) LogWarn(warning, {});
  return table;
}

std::size_t Server::MaxOutboundBytesPerShard(const Config& config) const {
  return config.limits.max_outbound_bytes_total / std::max<std::size_t>(shard_count_, 1);
}

DescriptorBudget Server::Descriptors(const Config& config) const {
  return DivideDescriptors(open_files_, config.limits, config.limits.max_memory_bytes,
                           client_tls_ != nullptr);
}

FrontEndOptions Server::MakeFrontEndOptions(const Config& config) const {
  FrontEndOptions front;
  front.limits = config.limits;
  front.rules = rules_;
  front.allow_anonymous = config.allow_anonymous;
  front.enable_raw = config.enable_raw;
  front.enable_demo = config.enable_demo;
  front.dev = config.dev;
  front.allow_query_token = config.allow_query_token;
  front.token_cookie = config.token_cookie;
  front.allowed_origins = config.allowed_origins;
  front.allowed_hosts = config.allowed_hosts;
  front.deflate = deflate_.get();
  front.bans = &bans_;
  front.tell_token_refusal = [](const TokenRefusals::Line& line) {
    LogWarn("token refused",
            {{"reason", line.reason}, {"address", line.address}, {"untold", line.untold}});
  };
  if (jwks_keys_) front.on_unknown_key = [this] { jwks_keys_->FetchSoon(); };
  if (replicas_) {
    front.fence = [this](const std::string& session_id, const std::string& user) {
      replicas_->fence().Fence(session_id, user);
    };
  }
  const DescriptorBudget descriptors = Descriptors(config);
  front.max_connections = descriptors.max_connections;
  front.max_sessions = descriptors.max_sessions;
  front.max_unauthenticated = descriptors.max_unauthenticated;
  front.first_reserved_descriptor = static_cast<int>(descriptors.first_reserved);
  front.trusted_proxies = TrustedProxies(config.trusted_proxies);
  front.proxy_protocol = config.proxy_protocol;
  front.send_buffer_bytes = config.client_send_buffer_bytes;
  front.receive_buffer_bytes = config.client_receive_buffer_bytes;
  return front;
}

absl::Status Server::CheckIoUring() {
  if (config_.io_uring == IoUring::kOff) return absl::OkStatus();
  const absl::Status checked = UringSender::Check();
  if (!checked.ok() && config_.io_uring == IoUring::kOn) return checked;
  if (!checked.ok()) {
    LogInfo("each session is written to by a call of its own",
            {{"reason", std::string(checked.message())}});
  }
  use_io_uring_ = checked.ok();
  return absl::OkStatus();
}

absl::Status Server::LoadClientTls() {
  if (config_.client_tls_cert_file.empty()) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<TlsContext>> tls =
      TlsContext::Load(config_.client_tls_cert_file, config_.client_tls_key_file);
  if (!tls.ok()) return tls.status();
  client_tls_ = *std::move(tls);
  LogInfo("TLS on the client port", {{"kernel_tls", KernelTlsAvailable()}});
  return absl::OkStatus();
}

void Server::ReloadClientTls() {
  if (!client_tls_) return;
  const absl::StatusOr<bool> reloaded = client_tls_->ReloadIfChanged();
  if (!reloaded.ok()) {
    LogError("client certificate not reloaded, the old one stays",
             {{"error", std::string(reloaded.status().message())}});
  } else if (*reloaded) {
    LogInfo("client certificate reloaded", {});
  }
}

absl::Status Server::MakeShards() {
  const Limits& limits = config_.limits;
  open_files_ = RaiseOpenFilesLimit();
  shard_count_ = static_cast<std::size_t>(
      std::clamp(static_cast<int>(config_.threads != 0 ? config_.threads
                                                       : std::thread::hardware_concurrency()),
                 1, kMaxShards));
  if (config_.compression)
    deflate_ = std::make_unique<SharedDeflate>(config_.compression_threshold_bytes);
  rules_ = std::make_shared<TopicRules>(config_.topic_rules);
  presence_ = std::make_unique<PresenceNews>(
      shards_, index_,
      PresenceNews::Options{config_.presence_grace, limits.presence_frames_per_second});
  events_ = std::make_unique<EventHub>(config_.event_buffer_size, config_.max_event_bytes);
  for (int i = 0; i < static_cast<int>(shard_count_); ++i) {
    ShardOptions options;
    options.index = i;
    options.node = config_.node_name;
    options.encoders = AllEncoders(deflate_.get());
    options.mailbox = {limits.mailbox_high_watermark_messages, limits.mailbox_high_watermark_bytes};
    options.max_outbound_bytes = MaxOutboundBytesPerShard(config_);
    options.max_topics_per_session = limits.max_topics_per_session;
    if (use_io_uring_) options.make_batch_sender = [] { return std::make_unique<UringSender>(); };
    options.events = events_.get();
    options.rules = rules_;
    options.presence = presence_.get();
    shards_.push_back(std::make_unique<Shard>(std::move(options)));
  }
  if (absl::Status status = MakeBroker(rules_); !status.ok()) return status;
  table_ = std::make_unique<SessionTable>(shards_, index_);
  const DescriptorBudget descriptors = Descriptors(config_);
  if (limits.max_sessions > descriptors.max_sessions) {
    LogWarn("max_sessions is more than the open-files limit carries; raise the limit (ulimit -n)",
            {{"max_sessions", limits.max_sessions}, {"carried", descriptors.max_sessions}});
  }
  front_end_ = std::make_unique<FrontEnd>(MakeFrontEndOptions(config_), *table_, verifier_.get(),
                                          client_tls_.get());
  runner_ = std::make_unique<CommandRunner>(*broker_, *table_, receipts_, config_.node_name,
                                            limits.max_message_bytes, limits.max_topics_per_session,
                                            &bans_);
  runner_->set_on_ban([this](const auto& producer, const auto& bans, const absl::Status& status) {
    ban_log_.Add(producer, bans, status, absl::Now());
  });
  idempotency_ =
      std::make_unique<Idempotency>(limits.idempotency_window, limits.max_idempotency_keys);
  memory_ =
      std::make_unique<MemoryWatch>(MemoryWatch::Parts{shards_, *broker_, *events_, *idempotency_,
                                                       call_memory_, *runner_, *front_end_},
                                    config_);
  for (auto& shard : shards_) shard->Start(*broker_);
  return absl::OkStatus();
}

absl::Status Server::MakeBroker(std::shared_ptr<const TopicRules> rules) {
  if (config_.broker == BrokerKind::kMemory) {
    broker_ = std::make_unique<MemoryBroker>(shards_, index_, std::move(rules),
                                             config_.max_history_bytes_total);
    return absl::OkStatus();
  }
  absl::StatusOr<NatsConnectionOptions> options = NatsOptionsOf(config_);
  if (!options.ok()) return options.status();
  LogInfo("connecting to NATS", {{"servers", WithoutSecrets(config_.nats_url)}});
  absl::StatusOr<std::unique_ptr<NatsConnection>> nats = NatsConnection::Open(*std::move(options));
  if (!nats.ok()) return nats.status();
  nats_ = *std::move(nats);
  nats_watch_ =
      std::make_unique<NatsWatch>(*nats_, config_.limits.max_message_bytes, config_.nats_replicas);
  if (absl::Status status = nats_watch_->Start(); !status.ok()) return status;
  replicas_ = std::make_unique<Replicas>(*nats_, config_.nats_prefix, config_.node_name, receipts_,
                                         [this] { return stats_->Count().sessions; });
  NatsBrokerOptions broker;
  broker.prefix = config_.nats_prefix;
  broker.relay = &replicas_->relay();
  broker.on_new_log = NatsWatch::LogNewLog;
  broker.on_full = [watch = nats_watch_.get()](const std::string& why) { watch->LogFull(why); };
  broker.partitions = static_cast<int>(config_.nats_partitions);
  broker.stream.replicas = static_cast<int>(config_.nats_replicas);
  broker.stream.max_age = config_.nats_max_age;
  broker.stream.duplicate_window = config_.limits.idempotency_window;
  for (const TopicRule& rule : rules->all()) {
    broker.stream.max_messages_per_topic =
        std::max<std::uint64_t>(broker.stream.max_messages_per_topic, 2 * rule.history_size);
  }
  auto made = std::make_unique<NatsBroker>(*nats_, shards_, index_, std::move(rules), broker);
  if (absl::Status status = made->Open(config_.nats_connect_timeout); !status.ok()) return status;
  broker_ = std::move(made);
  return absl::OkStatus();
}

absl::Status Server::OpenPorts() {
  GrpcServerOptions options;
  options.address = ToString(config_.grpc_addr);
  options.tls_cert_file = config_.grpc_tls_cert_file;
  options.tls_key_file = config_.grpc_tls_key_file;
  options.tls_client_ca_file = config_.grpc_tls_client_ca_file;
  options.reflection = config_.enable_reflection;
  options.threads =
      config_.grpc_threads != 0
          ? static_cast<int>(config_.grpc_threads)
          : std::clamp(static_cast<int>(std::thread::hardware_concurrency()) / 4, 1, 16);
  options.max_message_bytes = config_.limits.max_message_bytes;
  options.read_bytes = GrpcReadBytes(config_.limits.max_memory_bytes);
  options.call_bytes = CallBytes(config_.limits.max_memory_bytes);
  options.max_connections = config_.grpc_max_connections != 0 ? config_.grpc_max_connections
                                                              : Descriptors(config_).max_grpc;
  options.request_timeout = config_.grpc_request_timeout;
  options.max_connection_age = config_.grpc_max_connection_age;
  // After GOAWAY, which comes up to a tenth late: the next stream then takes another connection.
  options.push = {config_.limits.max_push_streams, config_.limits.max_commands_in_flight,
                  config_.grpc_max_connection_age * 1.1, config_.grpc_max_connection_age_grace,
                  replicas_ ? &replicas_->moves() : nullptr};
  absl::StatusOr<std::unique_ptr<GrpcServer>> grpc =
      GrpcServer::Start(options, *runner_, *idempotency_, *table_, *broker_, *events_, *executor_,
                        producer_auth_, *questions_, call_memory_,
                        {.drain = [this](auto over) { return StartDrain(over); },
                         .reload =
                             [this](auto done) {
                               asio::post(io_, [this, done = std::move(done)] { done(Reload()); });
                             },
                         .audit =
                             [](auto producer, auto peer, auto action) {
                               LogInfo("audit", {{"producer", producer.empty() ? "-" : producer},
                                                 {"peer", peer},
                                                 {"action", action}});
                             }});
  if (!grpc.ok()) return grpc.status();
  grpc_ = *std::move(grpc);
  WarnOfFloods(config_);
  absl::StatusOr<std::unique_ptr<AdminServer>> admin = AdminServer::Open(
      io_, EndpointOf(config_.admin_addr),
      {[this] { return NotReady(); },
       [this] { return prometheus::TextSerializer().Serialize(metrics_->Collect()); }},
      front_end_->accept_errors);
  if (!admin.ok()) return admin.status();
  admin_ = *std::move(admin);
  absl::StatusOr<std::unique_ptr<Listener>> listener =
      Listener::Open(*front_end_, shards_, EndpointOf(config_.client_addr));
  if (!listener.ok()) return listener.status();
  listener_ = *std::move(listener);
  listener_watch_ = std::make_unique<ListenerWatch>(
      WatchedPorts(config_, *front_end_, listener_->endpoint().port(),
                   static_cast<std::uint16_t>(grpc_->port())));
  connection_watch_ = std::make_unique<ConnectionWatch>(*front_end_);
  LogInfo("listening", {{"client", Text(listener_->endpoint())},
                        {"grpc", ToString(Address{config_.grpc_addr.host,
                                                  static_cast<std::uint16_t>(grpc_->port())})},
                        {"admin", Text(admin_->endpoint())},
                        {"node", config_.node_name},
                        {"threads", shards_.size()},
                        {"open_files", open_files_},
                        {"max_connections", front_end_->options->max_connections},
                        {"max_sessions", front_end_->options->max_sessions},
                        {"max_unauthenticated", front_end_->options->max_unauthenticated},
                        {"version", HERALD_VERSION}});
  return absl::OkStatus();
}

void Server::EverySecond() {
  const absl::Time now = absl::Now();
  connection_watch_->Log();
  stats_->Sample(now);
  grpc_->Tick(now);
  refusal_log_.Report(grpc_->refusals());
  probe_->Send();
  broker_->EverySecond(now);
  idempotency_->Sweep();
  rate_log_->EverySecond();
  ReloadKeys(now);
  ReloadProducersIfChanged();
  ReloadClientTls();
  bans_.Sweep(now);
  LogRefusals(front_end_->refusals);
  second_.expires_after(std::chrono::seconds(1));
  second_.async_wait([this](boost::system::error_code error) {
    if (!error) EverySecond();
  });
}

void Server::EveryTick() {
  receipts_.Advance(absl::Now());
  presence_->Advance(MonotonicNanos());
  memory_->Tick(absl::Now());
  tick_.expires_after(absl::ToChronoMilliseconds(ReceiptClock::kTick));
  tick_.async_wait([this](boost::system::error_code error) {
    if (!error) EveryTick();
  });
}

std::string Server::NotReady() const {
  if (front_end_->draining) return "draining";
  if (std::string problem = listener_watch_->Problem(); !problem.empty()) return problem;
  if (jwks_keys_ && !jwks_keys_->fetched()) return "no keys have come from jwks_url yet";
  if (!probe_->Passed(absl::Now())) return "no message has passed broker and shards within 5 s";
  return "";
}

std::uint64_t Server::StartDrain(std::optional<absl::Duration> over) {
  const MutexLock lock(drain_mutex_);
  if (drain_) {
    LogInfo("draining without delay", {});
    drain_->Hurry();
    return stats_->Count().sessions;
  }
  drain_ = std::make_unique<Drain>(
      Drain::Parts{*front_end_, *listener_, shards_, *grpc_, receipts_, *runner_, *stats_});
  drain_thread_ = std::thread(
      [this, drain = drain_.get(), over = over.value_or(absl::Seconds(drain_seconds_.load()))] {
        drain->Run(over);
        io_.stop();
      });
  return stats_->Count().sessions;
}

Server::~Server() {
  if (drain_thread_.joinable()) drain_thread_.join();
  second_.cancel();
  tick_.cancel();
  listener_watch_.reset();
  listener_.reset();
  admin_.reset();
  if (grpc_) grpc_->Shutdown(absl::ZeroDuration());
  if (replicas_) replicas_->Stop(/*goodbye=*/true);
  for (auto& shard : shards_) shard->Stop();
  jwks_keys_.reset();  // shards ask it for keys
  grpc_.reset();
  executor_.reset();
}

}  // namespace herald
