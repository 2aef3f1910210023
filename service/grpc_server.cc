#include "service/grpc_server.h"

#include <grpc/grpc.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <climits>
#include <fstream>
#include <future>
#include <sstream>

#include "absl/time/clock.h"
#include "fmt/format.h"
#include "service/reflection_gate.h"

namespace herald {
namespace {

// The share of callers that have proved nothing, of what may be held for calls.
constexpr std::size_t kStrangersPart = 8;

// How long a drain waits for calls that are neither Push streams nor watches.
constexpr absl::Duration kOtherCalls = absl::Seconds(1);

absl::StatusOr<std::string> ReadFile(const std::string& path, std::string_view what) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf()))
    return absl::InvalidArgumentError(fmt::format("{} {}: cannot be read", what, path));
  return text.str();
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> Credentials(
    const GrpcServerOptions& options) {
  if (options.tls_cert_file.empty()) return grpc::InsecureServerCredentials();
  absl::StatusOr<std::string> cert = ReadFile(options.tls_cert_file, "grpc_tls_cert_file");
  if (!cert.ok()) return cert.status();
  absl::StatusOr<std::string> key = ReadFile(options.tls_key_file, "grpc_tls_key_file");
  if (!key.ok()) return key.status();
  grpc::SslServerCredentialsOptions ssl(
      options.tls_client_ca_file.empty()
          ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
          : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  ssl.pem_key_cert_pairs.push_back({*std::move(key), *std::move(cert)});
  if (!options.tls_client_ca_file.empty()) {
    absl::StatusOr<std::string> ca =
        ReadFile(options.tls_client_ca_file, "grpc_tls_client_ca_file");
    if (!ca.ok()) return ca.status();
    ssl.pem_root_certs = *std::move(ca);
  }
  return grpc::SslServerCredentials(ssl);
}

// gRPC's reflection library registers itself in every server once it is linked: this takes it out
// again.
class WithoutReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    std::erase_if(*plugins,
                  [](const auto& plugin) { return plugin->name() == "proto_server_reflection"; });
  }
};

// What one connection can make gRPC hold or do, whoever opens it.
void BoundConnections(grpc::ServerBuilder& builder) {
  // Compressed requests get UNIMPLEMENTED from their headers alone: 0.5 MB of them can become
  // 700 MB. Bit 0 is "identity".
  builder.AddChannelArgument(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
  // Calls at a time. Clients queue more on their side.
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 256);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 16 * 1024);
  // Bytes of a call's request that gRPC takes before Herald reads it. A fast sender gets no more, as
  // the bandwidth probe would allow; with less, producers of many commands wait for windows.
  // A message being read may be larger.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 256 * 1024);
  // Until TLS and the HTTP/2 preface are done. gRPC's own default is two minutes.
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10'000);
  // A connection without any call gets GOAWAY, and the producer reconnects when it needs one.
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, 15 * 60'000);
  // Producers may keep quiet connections alive with a ping every ten seconds. More often than that
  // three times: GOAWAY "too many pings".
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 2);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
}

}  // namespace

GrpcServer::GrpcServer(const GrpcServerOptions& options, CommandRunner& runner,
                       Idempotency& idempotency, SessionTable& table, Broker& broker,
                       EventHub& events, Executor& executor, const ProducerAuth& auth,
                       Questions& questions, CallMemory& memory, AdminActions actions)
    : runner_(runner),
      memory_(memory),
      strangers_(options.call_bytes / kStrangersPart),
      limits_{options.request_timeout, memory, strangers_, runner.max_command_bytes()},
      push_(runner, idempotency, table.shards(), executor, memory, options.push),
      sessions_(runner, questions, broker, executor),
      events_(events, runner.node(), executor, memory),
      admin_(questions, std::move(actions)),
      health_(executor),
      producers_(auth),
      anyone_(producers_),
      executor_(executor) {}

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(
    const GrpcServerOptions& options, CommandRunner& runner, Idempotency& idempotency,
    SessionTable& table, Broker& broker, EventHub& events, Executor& executor,
    const ProducerAuth& auth, Questions& questions, CallMemory& memory, AdminActions actions) {
  absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> credentials = Credentials(options);
  if (!credentials.ok()) return credentials.status();
  std::unique_ptr<GrpcServer> server(new GrpcServer(options, runner, idempotency, table, broker,
                                                    events, executor, auth, questions, memory,
                                                    std::move(actions)));
  memory.SetMax(options.call_bytes);
  if (options.reflection) grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  if (!options.reflection) builder.SetOption(std::make_unique<WithoutReflection>());
  builder.AddListeningPort(options.address, *credentials, &server->port_);
  // Taken ports are an error, not shared.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // A request of 4,096 small commands must fit, and one of 64 with the largest payload.
  const std::size_t max_request = 64 * (options.max_message_bytes + 4096);
  builder.SetMaxReceiveMessageSize(
      static_cast<int>(std::clamp<std::size_t>(max_request, 4u << 20, 256u << 20)));
  BoundConnections(builder);
  if (options.reflection) {
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> gates;
    gates.push_back(std::make_unique<ReflectionGate>(auth));
    builder.experimental().SetInterceptorCreators(std::move(gates));
  }
  server->quota_.Resize(options.read_bytes);
  builder.SetResourceQuota(server->quota_);
#ifdef GRPC_ARG_MAX_ALLOWED_INCOMING_CONNECTIONS
  if (options.max_connections != 0) {
    builder.AddChannelArgument(
        GRPC_ARG_MAX_ALLOWED_INCOMING_CONNECTIONS,
        static_cast<int>(std::min<std::size_t>(options.max_connections, INT_MAX)));
  }
#endif
  if (options.max_connection_age > absl::ZeroDuration()) {
    // GOAWAY, and no more: Push streams end by their own age, and watches stay where they are.
    builder.AddChannelArgument(
        GRPC_ARG_MAX_CONNECTION_AGE_MS,
        static_cast<int>(std::min<std::int64_t>(
            absl::ToInt64Milliseconds(options.max_connection_age), INT_MAX)));
  }
  for (grpc::Service* service :
       {server->push_.methods(), server->sessions_.methods(), server->events_.methods(),
        server->admin_.methods(), server->health_.methods()}) {
    builder.RegisterService(service);
  }
  server->call_threads_ = std::make_unique<CallThreads>(builder, options.threads, server->limits_);
  server->server_ = builder.BuildAndStart();
  if (!server->server_ || server->port_ == 0) {
    return absl::UnavailableError(
        fmt::format("cannot listen on {} for gRPC: the port is taken, the address is not of this "
                    "machine, or the TLS files are bad",
                    options.address));
  }
  for (const char* service : {"", "herald.v1.PushService", "herald.v1.SessionService",
                              "herald.v1.EventService", "herald.v1.AdminService"}) {
    server->health_.AddServing(service);
  }
  for (const auto& queue : server->call_threads_->queues()) {
    server->push_.Serve(*queue, server->producers_);
    server->sessions_.Serve(*queue, server->producers_);
    server->events_.Serve(*queue, server->producers_);
    server->admin_.Serve(*queue, server->producers_);
    server->health_.Serve(*queue, server->anyone_);
  }
  server->call_threads_->Start();
  return server;
}

void GrpcServer::SetLimits(std::size_t max_push_streams, std::size_t max_commands_in_flight,
                           std::size_t read_bytes, std::size_t call_bytes) {
  quota_.Resize(read_bytes);
  memory_.SetMax(call_bytes);
  strangers_.SetMax(call_bytes / kStrangersPart);
  limits_.max_request_bytes = runner_.max_command_bytes();
  push_.SetLimits(max_push_streams, max_commands_in_flight);
}

GrpcServer::~GrpcServer() { Shutdown(absl::ZeroDuration()); }

void GrpcServer::BeginShutdown(absl::Duration within) {
  if (!server_ || shutdown_.joinable()) return;
  health_.StopServing();
  push_.Announce(within);
  // GOAWAY at once; returns when all calls have ended.
  shutdown_ = std::thread([this] {
    server_->Shutdown();
    ended_ = true;
  });
}

void GrpcServer::EndStreams() {
  push_.Drain();
  events_.Drain();
}

void GrpcServer::Shutdown(absl::Duration grace) {
  if (!server_) return;
  BeginShutdown(grace);
  EndStreams();
  const absl::Time deadline = absl::Now() + grace;
  absl::Time others =
      absl::InfiniteFuture();  // calls that wait for nothing of ours: health watches
  while (!ended_ && absl::Now() < std::min(deadline, others)) {
    if (others == absl::InfiniteFuture() && push_.streams() == 0 && events_.watches() == 0)
      others = absl::Now() + kOtherCalls;
    absl::SleepFor(absl::Milliseconds(5));
  }
  if (!ended_) grpc_server_cancel_all_calls(server_->c_server());
  shutdown_.join();
  call_threads_.reset();
  // Reactors that have ended are deleted on the executor: wait for those before the services go.
  std::promise<void> emptied;
  executor_.Post([&] { emptied.set_value(); });
  emptied.get_future().wait();
  server_.reset();
}

}  // namespace herald
