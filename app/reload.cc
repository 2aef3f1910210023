#include "app/reload.h"

#include <algorithm>
#include <array>

#include "app/settings.h"
#include "fmt/format.h"
#include "fmt/ranges.h"

namespace herald {
namespace {

constexpr std::string_view kTopicRules = "topic_rules";

constexpr auto kReloadable = std::to_array<std::string_view>({
    // Clients.
    "allow_anonymous",
    "enable_raw",
    "enable_demo",
    "allow_query_token",
    "token_cookie",
    "jwt_secret_file",
    "jwt_public_key_file",
    "jwks_file",
    "jwt_algorithm",
    "jwt_audience",
    "jwt_issuer",
    "jwt_require_exp",
    "jwt_max_lifetime",
    "allowed_origins",
    "allowed_hosts",
    "trusted_proxies",
    "proxy_protocol",
    // Producers.
    "producers_file",
    // Operation.
    "log_level",
    "drain_seconds",
    // Limits.
    "max_message_bytes",
    "max_header_bytes",
    "handshakes_per_second",
    "handshakes_per_second_per_ip",
    "tls_failures_per_second_per_ip",
    "token_failures_per_second_per_ip",
    "handshake_timeout",
    "connect_timeout",
    "max_connect_bytes",
    "message_timeout",
    "max_sessions",
    "max_sessions_per_user",
    "max_sessions_per_ip",
    "max_unauthenticated_connections",
    "max_unauthenticated_per_ip",
    "max_topics_per_session",
    "inbound_messages_per_second",
    "inbound_bytes_per_second",
    "replay_bytes_per_second",
    "user_rate_multiple",
    "address_rate_multiple",
    "ping_interval",
    "pong_timeout",
    "max_outbound_bytes_per_session",
    "max_outbound_bytes_total",
    "max_push_streams",
    "max_commands_in_flight",
    "idempotency_window",
    "max_idempotency_keys",
    "max_memory_bytes",
    kTopicRules,
});

}  // namespace

bool IsReloadable(std::string_view setting) {
  return std::ranges::find(kReloadable, setting) != kReloadable.end();
}

absl::StatusOr<ConfigChange> CompareConfigs(const Config& current, const Config& next) {
  ConfigChange change{current, {}, {}};
  for (const Setting& setting : Settings()) {
    const std::string text = setting.print(next);
    if (text == setting.print(current)) continue;
    const std::string name(setting.name);
    if (!IsReloadable(name)) {
      change.needs_restart.push_back(name);
      continue;
    }
    if (absl::Status status = setting.parse(text, change.merged); !status.ok()) return status;
    change.merged.origins[name] = next.origins.at(name);
    change.changed.push_back(name);
  }
  if (!(current.topic_rules == next.topic_rules)) {
    change.merged.topic_rules = next.topic_rules;
    change.changed.emplace_back(kTopicRules);
  }
  if (absl::Status status = Validate(change.merged); !status.ok()) {
    return absl::FailedPreconditionError(fmt::format("{} (as long as {} need a restart)",
                                                     std::string(status.message()),
                                                     fmt::join(change.needs_restart, ", ")));
  }
  return change;
}

}  // namespace herald
