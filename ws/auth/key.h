// A key that signs or verifies tokens, bound to its one algorithm.
//
// Threads:   immutable; any number may verify with one key at once.
// Ownership: owns the secret, or shares the OpenSSL key.
// Limits:    secrets of 32 bytes or more (RFC 7518 §3.2), RSA of 2,048 (§3.3)
//            to 8,192 bits. EC only on P-256.
// Errors:    kInvalidArgument, saying what the key is and what is needed.
// Spec:      RFC 7518 §3, RFC 8037 §3.1, RFC 8725 §3.1 (one algorithm a key).
#pragma once

#include <openssl/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "ws/auth/algorithm.h"

namespace herald {

inline constexpr std::size_t kMinSecretBytes = 32;
inline constexpr int kMinRsaBits = 2048;
inline constexpr int kMaxRsaBits = 8192;

struct Key {
  Algorithm algorithm;
  std::string id;                 // `kid`; empty if the key has none
  std::string secret;             // of HS256 only
  std::shared_ptr<EVP_PKEY> evp;  // of the others; public, or private to sign with
  // 64 bits of SHA-256 over the algorithm and the secret or the public key, whatever its id. Never 0
  // in a key made below. Tells whether a key that verified a token is still configured.
  std::uint64_t fingerprint = 0;
};

absl::StatusOr<Key> MakeSecretKey(std::string secret, std::string id = "");

// The secret is all bytes of a file but one line end after them: editors and
// `openssl rand -hex 32 > file` put it there. PEM text is refused.
absl::StatusOr<Key> ParseSecretText(std::string text);

// The algorithm follows from the kind of key: RSA gives RS256, EC on P-256
// ES256, Ed25519 EdDSA. `evp` may be null after an OpenSSL failure, which is
// then the error.
absl::StatusOr<Key> MakeAsymmetricKey(std::shared_ptr<EVP_PKEY> evp, std::string id = "");

}  // namespace herald
