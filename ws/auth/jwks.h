// Keys in a JSON Web Key Set.
//
// A key's `alg` pins its algorithm. Without it the kind decides: RSA is RS256,
// EC on P-256 ES256, OKP with Ed25519 EdDSA, oct HS256.
//
// Skipped, as RFC 7517 §5 asks: kinds, curves and algorithms that Herald does
// not know or that are not in `allowed`, and keys that are not for signatures
// (`use` other than "sig", `key_ops` without "verify"). Private members are not
// read.
//
// Limits: 64 keys that are used, JSON nested 16 deep.
// Errors: kInvalidArgument, with the number of the key from 1. A key of a known
//         kind that is broken, weak, or whose `alg` does not fit its `kty`
//         refuses the whole set; so does a set in which no key is usable.
// Spec:   RFC 7517 §4 and §5, RFC 7518 §6, RFC 8037 §2.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "ws/auth/algorithm.h"
#include "ws/auth/key.h"

namespace herald {

inline constexpr std::size_t kMaxKeys = 64;

// An empty `allowed` allows all.
absl::StatusOr<std::vector<Key>> ParseJwks(std::string_view text,
                                           const std::vector<Algorithm>& allowed);

}  // namespace herald
