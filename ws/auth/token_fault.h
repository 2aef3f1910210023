// Why a token is refused, as a value that a metric can carry.
//
// Every status that TokenVerifier::Verify returns carries its fault as a payload, so that callers
// count and log refusals without reading their text.
//
// Threads: free functions, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"

namespace herald {

enum class TokenFault : std::uint8_t {
  kMissing,      // no token where one is needed
  kMalformed,    // not a JWT, or longer than kMaxTokenBytes
  kAlgorithm,    // `alg` is not supported, or a critical extension is asked for
  kUnknownKey,   // no configured key has its `alg` and `kid`
  kSignature,    // a key fits and the signature is wrong
  kClaims,       // a claim is missing or malformed
  kIssuer,       // `iss` is not jwt_issuer
  kAudience,     // `aud` does not have jwt_audience
  kNotYetValid,  // `nbf` is in the future
  kNoExpiry,     // no `exp`, and jwt_require_exp or jwt_max_lifetime asks for one
  kLifetime,     // valid for longer than jwt_max_lifetime
  kExpired,      // `exp` has passed
  kBanned,       // its user or its `jti` is banned
  kOtherUser,    // a refresh with the token of another user
};
inline constexpr std::size_t kTokenFaults = 14;
// The names are those of a metric.
inline constexpr const char* kTokenFaultNames[kTokenFaults] = {
    "missing",  "malformed",     "algorithm", "unknown_key", "signature", "claims", "issuer",
    "audience", "not_yet_valid", "no_expiry", "lifetime",    "expired",   "banned", "other_user"};

// kDeadlineExceeded for kExpired, else kUnauthenticated. The message is "token " and `why`.
absl::Status RefuseToken(TokenFault fault, std::string_view why);

// The fault that RefuseToken put into `status`; kMalformed if there is none.
TokenFault TokenFaultOf(const absl::Status& status);

}  // namespace herald
