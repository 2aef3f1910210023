// How a running server takes another configuration.
#include <algorithm>
#include <future>

#include "app/derive_memory.h"
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
  producers_file_.Changed(change->merged.producers_file);
  absl::StatusOr<std::shared_ptr<const ProducerTable>> producers = LoadProducers(change->merged);
  if (!producers.ok()) return producers.status();
  constexpr const char* kProducers = "producers_file";
  if (!(**producers == producer_auth_.table()) &&
      std::ranges::find(change->changed, kProducers) == change->changed.end())
    change->changed.emplace_back(kProducers);
  Apply(*change, *std::move(verifier), *std::move(producers));
  return AdminActions::Reloaded{std::move(change->changed), std::move(change->needs_restart)};
}

void Server::ReplaceProducers(std::shared_ptr<const ProducerTable> table) {
  const bool everybody = table->open();
  const bool opens = everybody != producer_auth_.table().open();
  const ProducerAuth::Changes changes = producer_auth_.Replace(std::move(table));
  if (changes.none() && !opens) return;
  LogInfo("audit", {{"producer", "-"},
                    {"action", "rights changed"},
                    {"rights", everybody ? "everything is allowed" : "as producers_file says"},
                    {"added", fmt::format("{}", fmt::join(changes.added, ", "))},
                    {"changed", fmt::format("{}", fmt::join(changes.changed, ", "))},
                    {"removed", fmt::format("{}", fmt::join(changes.removed, ", "))}});
}

void Server::ReloadProducersIfChanged() {
  if (!producers_file_.Changed(config_.producers_file)) return;
  absl::StatusOr<std::shared_ptr<const ProducerTable>> producers = LoadProducers(config_);
  if (producers.ok()) return ReplaceProducers(*std::move(producers));
  LogError("producers not reloaded, the old ones stay",
           {{"error", std::string(producers.status().message())}});
}

void Server::Apply(const ConfigChange& change, std::shared_ptr<TokenVerifier> verifier,
                   std::shared_ptr<const ProducerTable> producers) {
  const Config& next = change.merged;
  const Limits& limits = next.limits;
  // Who may call comes first: no other setting widens it meanwhile.
  ReplaceProducers(std::move(producers));
  if (!(next.topic_rules == *rules_))
    broker_->ChangeRules(next.topic_rules, [&] { rules_->Replace(next.topic_rules); });
  const bool rules_changed = !(next.topic_rules == config_.topic_rules);
  old_verifiers_.push_back(std::exchange(verifier_, std::move(verifier)));
  if (jwks_keys_) jwks_keys_->Attach(verifier_);
  if (old_verifiers_.size() > 8) old_verifiers_.erase(old_verifiers_.begin());
  front_end_->Reconfigure(MakeFrontEndOptions(next), verifier_.get());
  runner_->SetLimits(limits.max_message_bytes, limits.max_topics_per_session);
  idempotency_->SetLimits(limits.idempotency_window, limits.max_idempotency_keys);
  grpc_->SetLimits(limits.max_push_streams, limits.max_commands_in_flight,
                   GrpcReadBytes(limits.max_memory_bytes), CallBytes(limits.max_memory_bytes));
  for (const auto& shard : shards_) {
    shard->Post([shard = shard.get(), bytes = MaxOutboundBytesPerShard(next),
                 topics = limits.max_topics_per_session] { shard->Reconfigure(bytes, topics); });
  }
  memory_->SetLimits(next);
  drain_seconds_ = next.drain_seconds;
  SetLogLevel(next.log_level);
  config_ = next;
  // What sessions were granted by the old rules and keys may not hold any more.
  if (rules_changed) CheckRights();
  CheckKeys();
}

void Server::CheckRights() {
  for (const auto& shard : shards_) shard->Post([shard = shard.get()] { shard->CheckRights(); });
}

void Server::CheckKeys() {
  static const auto* const kNone = new std::shared_ptr<const KeySet>(new KeySet);
  const std::shared_ptr<const KeySet> keys = verifier_ ? verifier_->Keys() : *kNone;
  const std::shared_ptr<const KeySet> before = std::exchange(checked_keys_, keys);
  if (!before || before == keys) return;
  const auto removed = std::ranges::count_if(
      before->keys, [&](const Key& key) { return !keys->Contains(key.fingerprint); });
  if (removed == 0) return;
  LogInfo("client keys removed: sessions that came with them are closed", {{"keys", removed}});
  CheckRights();
}

void Server::ReloadKeys(absl::Time now) {
  if (!verifier_) return;
  if (absl::Status status = verifier_->ReloadIfChanged(now); !status.ok())
    LogError("keys not reloaded, the old ones stay", {{"error", std::string(status.message())}});
  LogKeyNotes(*verifier_);
  CheckKeys();
}

}  // namespace herald
