// Everything that can be configured, and how it is read.
//
// Sources, the strongest first: flags, HERALD_<NAME> variables, the YAML file of --config,
// defaults. What each setting means, its unit and default stand in app/settings.inc, once, for
// all of them; docs/configuration.md lists them for operators.
//
// Threads: a plain value. LoadConfig runs on one thread at a time.
// Errors:  kInvalidArgument with one line for the operator: where the value came from, the key,
//          and what is wrong. Secrets stay in files; only their paths are in here.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "app/address.h"
#include "app/logging.h"
#include "session/address_range.h"
#include "session/limits.h"
#include "session/topic_rules.h"
#include "session/trusted_proxies.h"

namespace herald {

enum class BrokerKind { kMemory, kNats };
enum class IoUring { kAuto, kOn, kOff };
enum class JwtAlgorithm { kNotSet, kHs256, kRs256, kEs256, kEdDsa };

struct Config {
  // What the command line asks for instead of running.
  enum class Action { kRun, kPrintConfig, kHelp, kVersion };
  Action action = Action::kRun;

  // Listening.
  Address client_addr{"0.0.0.0", 8080};
  Address grpc_addr{"127.0.0.1", 50051};
  Address admin_addr{"127.0.0.1", 9090};
  std::string node_name;  // after LoadConfig never empty
  std::uint32_t threads = 0;
  std::uint32_t grpc_threads = 0;
  bool dev = false;

  // Clients.
  bool allow_anonymous = false;
  bool enable_raw = false;
  bool enable_demo = false;
  bool allow_query_token = false;
  std::string token_cookie;
  std::string client_tls_cert_file;
  std::string client_tls_key_file;
  std::string jwt_secret_file;
  std::string jwt_public_key_file;
  std::string jwks_file;
  std::string jwks_url;
  absl::Duration jwks_refresh = absl::Minutes(5);
  std::string jwks_ca_file;
  JwtAlgorithm jwt_algorithm = JwtAlgorithm::kNotSet;
  std::string jwt_audience;
  std::string jwt_issuer;
  bool jwt_require_exp = true;
  absl::Duration jwt_max_lifetime = absl::ZeroDuration();  // zero = any
  std::vector<std::string> allowed_origins;                // empty = same host; "*" = any
  std::vector<std::string> allowed_hosts;  // empty = any; "loopback" = names of this machine
  std::vector<AddressRange> trusted_proxies;
  ProxyProtocol proxy_protocol = ProxyProtocol::kOptional;
  bool compression = false;
  std::uint64_t compression_threshold_bytes = 512;

  // Producers.
  std::string grpc_tls_cert_file;
  std::string grpc_tls_key_file;
  std::string grpc_tls_client_ca_file;
  std::string producers_file;
  bool insecure_grpc = false;
  bool enable_reflection = false;
  absl::Duration grpc_request_timeout = absl::Seconds(10);
  std::uint32_t grpc_max_connections = 0;
  absl::Duration grpc_max_connection_age = absl::Minutes(30);
  absl::Duration grpc_max_connection_age_grace = absl::Seconds(30);

  // Broker and operation.
  BrokerKind broker = BrokerKind::kMemory;
  IoUring io_uring = IoUring::kAuto;
  std::string nats_url;
  std::string nats_prefix = "herald";
  std::uint32_t nats_partitions = 4;
  std::uint32_t nats_replicas = 1;
  absl::Duration nats_max_age = absl::Hours(24);
  absl::Duration nats_connect_timeout = absl::Seconds(30);
  std::string nats_credentials_file;
  std::string nats_user;
  std::string nats_password_file;
  std::string nats_tls_ca_file;
  std::string nats_tls_cert_file;
  std::string nats_tls_key_file;
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kJson;
  std::uint32_t drain_seconds = 30;
  std::uint64_t max_history_bytes_total = 0;  // 0 = a share of max_memory_bytes
  std::uint32_t event_buffer_size = 65536;
  std::uint64_t max_event_bytes = 0;  // 0 = a share of max_memory_bytes
  std::uint32_t client_send_buffer_bytes = 32 * 1024;
  std::uint32_t client_receive_buffer_bytes = 64 * 1024;
  absl::Duration presence_grace = absl::Seconds(5);

  Limits limits;
  TopicRules topic_rules;

  // Setting → "flag", "environment", "file:line", "derived" or "default"; for --print_config.
  std::map<std::string, std::string, std::less<>> origins;

  bool has_client_keys() const {
    return !jwt_secret_file.empty() || !jwt_public_key_file.empty() || !jwks_file.empty() ||
           !jwks_url.empty();
  }
  bool has_grpc_mtls() const { return !grpc_tls_client_ca_file.empty(); }
  // The algorithm that tokens must have: a secret alone means HS256. kNotSet: as the JWKS says.
  JwtAlgorithm pinned_jwt_algorithm() const {
    const bool secret = jwt_algorithm == JwtAlgorithm::kNotSet && !jwt_secret_file.empty();
    return secret ? JwtAlgorithm::kHs256 : jwt_algorithm;
  }
};

using Environment = std::map<std::string, std::string>;

// The variables of this process.
Environment CurrentEnvironment();

// Reads all sources, and fills in what is a share of max_memory_bytes. Unknown keys and bad values are errors, in whatever source; so is what
// Validate refuses, unless the action is not to run. Only `--name` arguments are taken.
absl::StatusOr<Config> LoadConfig(int argc, const char* const* argv,
                                  const Environment& environment);

// Checks that the settings make sense together; LoadConfig has called it when the action is kRun.
absl::Status Validate(const Config& config);

// The effective settings as a YAML file that LoadConfig reads back, each line with its origin.
std::string PrintConfig(const Config& config);

// The text of --help: every setting with unit, default and what happens.
std::string HelpText();

// The text of --version.
std::string VersionText();

}  // namespace herald
