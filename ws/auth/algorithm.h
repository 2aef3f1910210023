// The signature algorithms that Herald accepts in client tokens.
//
// Spec: RFC 7518 §3.1 (HS256, RS256, ES256), RFC 8037 §3.1 (EdDSA, here only
// with Ed25519).
#pragma once

#include <optional>
#include <string_view>

namespace herald {

enum class Algorithm { kHs256, kRs256, kEs256, kEdDsa };

// As in a token's `alg`.
std::string_view AlgorithmName(Algorithm algorithm);

// The exact name only: RFC 7515 §4.1.1 compares with case. Nothing for `none`.
std::optional<Algorithm> ParseAlgorithm(std::string_view name);

}  // namespace herald
