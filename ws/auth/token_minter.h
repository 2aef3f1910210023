// Makes tokens, for `heraldctl token` and for tests.
//
// Threads: immutable; any.
// Errors:  kInvalidArgument if a verifier would refuse the result.
// Spec:    RFC 7519 §7.1.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "session/labels.h"
#include "ws/auth/key.h"

namespace herald {

// What a token shall say. What is empty is left out.
struct TokenSpec {
  std::string subject = {};
  absl::Duration ttl = absl::Hours(1);  // infinite: no `exp`
  std::vector<std::string> topics = {};
  std::vector<std::string> allow_subscribe = {};
  std::vector<std::string> allow_publish = {};
  Labels labels = {};
  std::string token_id = {};  // `jti`, by which Disconnect can ban the token
  std::string issuer = {};
  std::string audience = {};
  std::string key_id = {};  // `kid` in the header
};

class TokenMinter {
 public:
  // HS256 with the secret in a file, read as KeyStore does.
  static absl::StatusOr<TokenMinter> FromSecretFile(const std::string& path);
  // RS256, ES256 or EdDSA, as the private key in a PEM file is.
  static absl::StatusOr<TokenMinter> FromPemFile(const std::string& path);

  // `key` must be a secret or a private key.
  explicit TokenMinter(Key key) : key_(std::move(key)) {}

  Algorithm algorithm() const { return key_.algorithm; }

  absl::StatusOr<std::string> Mint(const TokenSpec& spec, absl::Time now) const;

 private:
  Key key_;
};

}  // namespace herald
