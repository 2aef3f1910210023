// Decides whether a client's token is good, and reads its claims.
//
// A token is a JWT in compact form, signed with a key that configuration names.
// The key brings its algorithm; the token's `alg` must equal it and chooses
// nothing. A key that has an id verifies only tokens that name it in `kid`; keys without one
// (secret and PEM files) are always tried. At most kMaxAttempts signatures are computed a token.
//
// What costs little comes first: form, algorithm, `iss`, `aud`, `nbf`, and whether there is an `exp`
// where one is needed. Only a token that passes all that has its signature checked, and its other
// claims are read after that. So an expired token is called so only if it was genuine.
//
// Refused: `none`, encryption, `crit` and `b64`, padding or stray bits in the
// base64url, more or fewer than three parts. Keys inside a token (`jwk`, `x5c`)
// or addresses of keys (`jku`, `x5u`) are never looked at.
//
// Threads:   all methods from any thread. Verify takes one short lock; the
//            reloads read files, so call them off the shards.
// Ownership: owns its keys; keeps nothing of a token.
// Limits:    tokens of 8 KiB, JSON nested 32 deep, claims as in claims.h.
// Errors:    kUnauthenticated for a bad token (close code 4401, HTTP 401),
//            kDeadlineExceeded for one that was good and has expired (4402). All carry their
//            TokenFault. Messages say why and hold nothing of the token.
// Spec:      RFC 7519 §7.2, RFC 7515 §5.2, RFC 8725.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ws/auth/claims.h"
#include "ws/auth/key_store.h"
#include "ws/auth/token_fault.h"

namespace herald {

inline constexpr std::size_t kMaxTokenBytes = 8 * 1024;
// The last second of the year 9999. Beyond it lie times in milliseconds, which
// would otherwise pass as tokens that never expire.
inline constexpr std::int64_t kMaxTokenUnixSeconds = 253402300799;

class TokenVerifier {
 public:
  struct Options {
    std::vector<KeySource> keys = {};        // at least one
    std::vector<Algorithm> algorithms = {};  // the only ones allowed; empty: all four
    std::string audience = {};               // must be in `aud`; empty: not checked
    std::string issuer = {};                 // must equal `iss`; empty: not checked
    // How far the issuer's clock may be off, for `exp` and `nbf`.
    absl::Duration leeway = absl::Seconds(5);
    bool require_exp = true;  // a token must have `exp`
    // From `iat` (without it: from now) to `exp`. Zero: any time.
    absl::Duration max_lifetime = absl::ZeroDuration();
  };

  // Reads the key files; errors as of KeyStore::Load.
  static absl::StatusOr<std::unique_ptr<TokenVerifier>> Create(Options options);

  absl::StatusOr<Claims> Verify(std::string_view jwt, absl::Time now) const;

  // The key with this fingerprint (Claims::key) is still configured. Takes one short lock.
  bool Accepts(std::uint64_t key) const { return keys_->Keys()->Contains(key); }
  // The keys as they are now; another pointer after each change.
  std::shared_ptr<const KeySet> Keys() const { return keys_->Keys(); }

  // See KeyStore.
  absl::Status SetFetched(std::string_view jwks) { return keys_->SetFetched(jwks); }
  std::vector<std::string> TakeNotes() { return keys_->TakeNotes(); }
  absl::Status Reload() { return keys_->Reload(); }
  absl::Status ReloadIfChanged(absl::Time now) { return keys_->ReloadIfChanged(now); }

 private:
  TokenVerifier(Options options, std::unique_ptr<KeyStore> keys);

  const Options options_;
  const std::unique_ptr<KeyStore> keys_;
};

// True for the status of a token that was good once: close with 4402.
bool IsTokenExpired(const absl::Status& status);

}  // namespace herald
