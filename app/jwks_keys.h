#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "app/config.h"
#include "ws/auth/token_verifier.h"
#include "ws/jwks_fetcher.h"

namespace herald {

// The keys behind `jwks_url`: fetches them, and gives them to the verifier of the moment. A reload
// makes another verifier, which gets the keys that were fetched last before it is used.
//
// Threads: Attach by one at a time; the rest from any.
class JwksKeys {
 public:
  // `config.jwks_url` is set and valid. Keys go to `verifier`, whose sources have the URL.
  JwksKeys(const Config& config, std::shared_ptr<TokenVerifier> verifier);

  // Keys go to this one from now on.
  void Attach(std::shared_ptr<TokenVerifier> verifier);

  // See JwksFetcher.
  void FetchSoon() { fetcher_.FetchSoon(); }
  bool fetched() const { return fetcher_.fetched(); }
  const JwksFetcher& fetcher() const { return fetcher_; }

 private:
  absl::Status Take(std::string_view jwks);

  std::mutex mutex_;
  std::shared_ptr<TokenVerifier> verifier_;  // under mutex_
  std::string latest_;                       // under mutex_; the last usable set, empty before it
  JwksFetcher fetcher_;                      // last: its thread uses the above
};

// Logs what an operator should know of the key files that were read last.
void LogKeyNotes(TokenVerifier& verifier);

}  // namespace herald
