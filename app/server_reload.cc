// How a running server takes another configuration.
#include <algorithm>
#include <future>

#include "app/logging.h"
#include "app/server.h"
#include "fmt/format.h"
#include "fmt/ranges.h"

namespace herald {

absl::StatusOr<AdminActions::Reloaded> Server::Reload() {
  absl::StatusOr<AdminActions::Reloaded> reloaded = TryReload();
  if (!reloaded.ok()) {
    LogError("configuration not reloaded, the old one stays",
             {{"error", std::string(reloaded.status().message())}});
  } else {
    LogInfo("configuration reloaded",
            {{"changed", fmt::format("{}", fmt::join(reloaded->changed, ", "))},
             {"needs_restart", fmt::format("{}", fmt::join(reloaded->needs_restart, ", "))}});
  }
  return reloaded;
}

absl::StatusOr<AdminActions::Reloaded> Server::TryReload() {
  absl::StatusOr<Config> next = load_();
  if (!next.ok()) return next.status();
  absl::StatusOr<ConfigChange> change = CompareConfigs(config_, *next);
  if (!change.ok()) return change.status();
  // All files are read before anything changes.
  absl::StatusOr<std::shared_ptr<TokenVerifier>> verifier = MakeVerifier(change->merged);
  if (!verifier.ok()) return verifier.status();
  absl::StatusOr<ProducerAuth> auth = LoadProducerAuth(change->merged);
  if (!auth.ok()) return auth.status();
  constexpr const char* kTokens = "producer_tokens_file";
  if (!(*auth == producer_auth_) &&
      std::ranges::find(change->changed, kTokens) == change->changed.end())
    change->changed.emplace_back(kTokens);
  Apply(*change, *std::move(verifier), *auth);
  return AdminActions::Reloaded{std::move(change->changed), std::move(change->needs_restart)};
}

void Server::Apply(const ConfigChange& change, std::shared_ptr<TokenVerifier> verifier,
                   const ProducerAuth& auth) {
  const Config& next = change.merged;
  const Limits& limits = next.limits;
  // Who may call comes first: no other setting widens it meanwhile.
  producer_auth_.Replace(auth);
  if (!(next.topic_rules == *rules_))
    broker_->ChangeRules(next.topic_rules, [&] { rules_->Replace(next.topic_rules); });
  old_verifiers_.push_back(std::exchange(verifier_, std::move(verifier)));
  if (old_verifiers_.size() > 8) old_verifiers_.erase(old_verifiers_.begin());
  front_end_->Reconfigure(MakeFrontEndOptions(next), verifier_.get());
  runner_->SetLimits(limits.max_message_bytes, limits.max_topics_per_session);
  idempotency_->SetLimits(limits.idempotency_window, limits.max_idempotency_keys);
  grpc_->SetLimits(limits.max_push_streams, limits.max_commands_in_flight);
  for (const auto& shard : shards_) {
    shard->Post([shard = shard.get(), bytes = MaxOutboundBytesPerShard(next),
                 topics = limits.max_topics_per_session] { shard->Reconfigure(bytes, topics); });
  }
  memory_->SetLimits(next);
  drain_seconds_ = next.drain_seconds;
  SetLogLevel(next.log_level);
  config_ = next;
}

}  // namespace herald
