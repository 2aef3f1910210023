#include "app/jwks_keys.h"

#include <utility>

#include "app/jwks_url.h"
#include "app/logging.h"

namespace herald {
namespace {

JwksFetcherOptions OptionsOf(const Config& config) {
  const JwksUrl url = *ParseJwksUrl(config.jwks_url, config.dev);
  JwksFetcherOptions options;
  options.request.tls = url.tls;
  options.request.host = url.host;
  options.request.port = url.port;
  options.request.target = url.target;
  options.request.ca_file = config.jwks_ca_file;
  options.refresh = config.jwks_refresh;
  options.failed = [](const absl::Status& why) {
    LogError("keys not fetched from jwks_url, the ones before stay",
             {{"error", std::string(why.message())}});
  };
  options.recovered = [] { LogInfo("keys fetched from jwks_url", {}); };
  return options;
}

}  // namespace

JwksKeys::JwksKeys(const Config& config, std::shared_ptr<TokenVerifier> verifier)
    : verifier_(std::move(verifier)), fetcher_([&] {
        JwksFetcherOptions options = OptionsOf(config);
        options.take = [this](std::string_view jwks) { return Take(jwks); };
        return options;
      }()) {}

void JwksKeys::Attach(std::shared_ptr<TokenVerifier> verifier) {
  const std::lock_guard lock(mutex_);
  verifier_ = std::move(verifier);
  // A usable set stays usable, but with another jwt_algorithm.
  if (latest_.empty()) return;
  if (absl::Status status = verifier_->SetFetched(latest_); !status.ok()) {
    LogError("the keys of jwks_url are of no use any more",
             {{"error", std::string(status.message())}});
  }
  LogKeyNotes(*verifier_);
}

absl::Status JwksKeys::Take(std::string_view jwks) {
  const std::lock_guard lock(mutex_);
  if (absl::Status status = verifier_->SetFetched(jwks); !status.ok()) return status;
  LogKeyNotes(*verifier_);
  latest_ = std::string(jwks);
  return absl::OkStatus();
}

void LogKeyNotes(TokenVerifier& verifier) {
  for (const std::string& note : verifier.TakeNotes()) LogWarn("client keys", {{"note", note}});
}

}  // namespace herald
