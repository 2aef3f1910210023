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
// A key of a known kind that is broken, weak, or whose `alg` does not fit its `kty` is skipped too,
// and named in `skipped`: the operator should learn of it, and the good keys beside it still count.
// A byte-order mark before the JSON is ignored (RFC 8259 §8.1).
//
// Limits: 64 keys that are used, JSON nested 16 deep.
// Errors: kInvalidArgument: the text is not a key set, or no key of it is usable (with the reason of
//         the first that is broken), or more than 64 are.
// Spec:   RFC 7517 §4 and §5, RFC 7518 §6, RFC 8037 §2.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "ws/auth/algorithm.h"
#include "ws/auth/key.h"

namespace herald {

inline constexpr std::size_t kMaxKeys = 64;

// An empty `allowed` allows all. Appends one line to `skipped`, which may be null, for each key that
// is broken: its number from 1 and what is wrong.
absl::StatusOr<std::vector<Key>> ParseJwks(std::string_view text,
                                           const std::vector<Algorithm>& allowed,
                                           std::vector<std::string>* skipped = nullptr);

}  // namespace herald
