#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "app/config.h"
#include "app/derive_memory.h"
#include "app/jwks_url.h"
#include "fmt/format.h"

namespace herald {
namespace {

template <typename... Args>
absl::Status Invalid(fmt::format_string<Args...> format, Args&&... args) {
  return absl::InvalidArgumentError(fmt::format(format, std::forward<Args>(args)...));
}

// RFC 6265 §4.1.1: a cookie's name is a token of RFC 9110 §5.6.2.
bool IsCookieName(const std::string& name) {
  return std::ranges::all_of(name, [](unsigned char c) {
    return c > 0x20 && c < 0x7f &&
           std::string_view("\"(),/:;<=>?@[\\]{}").find(c) == std::string_view::npos;
  });
}

absl::Status ValidateListening(const Config& config) {
  const std::array<std::pair<std::string_view, const Address*>, 3> addresses = {
      {{"client_addr", &config.client_addr},
       {"grpc_addr", &config.grpc_addr},
       {"admin_addr", &config.admin_addr}}};
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (*addresses[i].second == *addresses[j].second && addresses[i].second->port != 0) {
        return Invalid("{} and {} are both {}", addresses[j].first, addresses[i].first,
                       ToString(*addresses[i].second));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateClients(const Config& config) {
  const bool key_sets = !config.jwks_file.empty() || !config.jwks_url.empty();
  const int key_files =
      !config.jwt_secret_file.empty() + !config.jwt_public_key_file.empty() + key_sets;
  if (key_files > 1) {
    return Invalid(
        "set one of jwt_secret_file, jwt_public_key_file and jwks_file (or jwks_url, or both), not "
        "several");
  }
  if (key_files == 0 && !config.allow_anonymous) {
    return Invalid(
        "no client could connect, for there are no keys: set jwt_secret_file, jwt_public_key_file, "
        "jwks_file or jwks_url, or --allow_anonymous to accept clients without a token, or --dev");
  }
  const bool token_rules = config.jwt_algorithm != JwtAlgorithm::kNotSet ||
                           !config.jwt_audience.empty() || !config.jwt_issuer.empty() ||
                           config.jwt_max_lifetime != absl::ZeroDuration();
  if (key_files == 0 && token_rules) {
    return Invalid(
        "jwt_algorithm, jwt_audience, jwt_issuer and jwt_max_lifetime check nothing without "
        "jwt_secret_file, jwt_public_key_file, jwks_file or jwks_url");
  }
  if (!config.jwks_url.empty()) {
    const absl::StatusOr<JwksUrl> url = ParseJwksUrl(config.jwks_url, config.dev);
    if (!url.ok()) return Invalid("jwks_url: {}", std::string(url.status().message()));
  }
  if (!config.jwks_ca_file.empty() && config.jwks_url.empty())
    return Invalid("jwks_ca_file is only for jwks_url");
  // A public key taken as an HMAC secret is the classic forgery.
  const bool hs256 = config.pinned_jwt_algorithm() == JwtAlgorithm::kHs256;
  if (!config.jwt_secret_file.empty() && !hs256) {
    return Invalid("jwt_secret_file is for jwt_algorithm HS256 only");
  }
  if (!config.jwt_public_key_file.empty() &&
      (hs256 || config.jwt_algorithm == JwtAlgorithm::kNotSet)) {
    return Invalid("jwt_public_key_file needs jwt_algorithm RS256, ES256 or EdDSA");
  }
  if (config.client_tls_cert_file.empty() != config.client_tls_key_file.empty()) {
    return Invalid("client_tls_cert_file and client_tls_key_file need each other");
  }
  if (!IsCookieName(config.token_cookie)) return Invalid("token_cookie is not a cookie name");
  // Any page can have the origin `null`: it puts itself into a sandboxed frame.
  for (const char* origin : {"*", "null"}) {
    if (config.token_cookie.empty() ||
        std::ranges::find(config.allowed_origins, origin) == config.allowed_origins.end()) {
      continue;
    }
    return Invalid(
        "allowed_origins={} with token_cookie would let any web page use its visitors' cookies; "
        "list the origins",
        origin);
  }
  return absl::OkStatus();
}

absl::Status ValidateProducers(const Config& config) {
  if (config.grpc_tls_cert_file.empty() != config.grpc_tls_key_file.empty()) {
    return Invalid("grpc_tls_cert_file and grpc_tls_key_file need each other");
  }
  if (config.has_grpc_mtls() && config.grpc_tls_cert_file.empty()) {
    return Invalid("grpc_tls_client_ca_file needs grpc_tls_cert_file and grpc_tls_key_file");
  }
  const bool guarded = config.has_grpc_mtls() || !config.producers_file.empty();
  if (!IsLoopback(config.grpc_addr) && !guarded && !config.insecure_grpc) {
    return Invalid(
        "grpc_addr {} is beyond loopback and open to anyone: set grpc_tls_client_ca_file (mTLS), "
        "or "
        "producers_file (bearer tokens), or --insecure_grpc if the network is closed",
        ToString(config.grpc_addr));
  }
  return absl::OkStatus();
}

absl::Status ValidateBroker(const Config& config) {
  if (config.broker != BrokerKind::kNats) {
    if (!config.nats_url.empty()) return Invalid("nats_url is only for broker=nats");
    return absl::OkStatus();
  }
  if (config.nats_url.empty())
    return Invalid("broker=nats needs nats_url, such as nats://127.0.0.1:4222");
  const bool named =
      !config.nats_prefix.empty() && config.nats_prefix.size() <= 32 &&
      std::all_of(config.nats_prefix.begin(), config.nats_prefix.end(), [](char c) {
        return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
      });
  if (!named) {
    return Invalid("nats_prefix \"{}\" is not 1 to 32 letters, digits, hyphens and underscores",
                   config.nats_prefix);
  }
  if (config.nats_user.empty() != config.nats_password_file.empty())
    return Invalid("nats_user and nats_password_file go together");
  if (!config.nats_user.empty() && !config.nats_credentials_file.empty())
    return Invalid("nats_user and nats_credentials_file exclude each other");
  if (config.nats_tls_cert_file.empty() != config.nats_tls_key_file.empty())
    return Invalid("nats_tls_cert_file and nats_tls_key_file go together");
  for (const TopicRule& rule : config.topic_rules.all()) {
    if (rule.history_size > 0 && rule.history_ttl > config.nats_max_age) {
      return Invalid("the topic rule \"{}\" has a history_ttl of {}, more than nats_max_age {}",
                     rule.pattern.text(), absl::FormatDuration(rule.history_ttl),
                     absl::FormatDuration(config.nats_max_age));
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateLimits(const Limits& limits) {
  if (limits.max_message_bytes > limits.max_outbound_bytes_per_session) {
    return Invalid(
        "max_message_bytes {} is more than max_outbound_bytes_per_session {}: such a message could "
        "never be queued",
        limits.max_message_bytes, limits.max_outbound_bytes_per_session);
  }
  if (limits.max_outbound_bytes_per_session > limits.max_outbound_bytes_total) {
    return Invalid("max_outbound_bytes_per_session {} is more than max_outbound_bytes_total {}",
                   limits.max_outbound_bytes_per_session, limits.max_outbound_bytes_total);
  }
  if (limits.max_message_bytes > limits.mailbox_high_watermark_bytes) {
    return Invalid("max_message_bytes {} is more than mailbox_high_watermark_bytes {}",
                   limits.max_message_bytes, limits.mailbox_high_watermark_bytes);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Validate(const Config& config) {
  for (const absl::Status& status :
       {ValidateBroker(config), ValidateListening(config), ValidateClients(config),
        ValidateProducers(config), ValidateLimits(config.limits), ValidateMemory(config)}) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace herald
