// Keys in PEM form.
//
// Errors: kInvalidArgument, with the number of the block that is wrong. Never
//         prompts for a pass phrase: an encrypted key is an error.
// Spec:   RFC 7468 §13 (public keys), §10 (private keys).
#pragma once

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "ws/auth/key.h"

namespace herald {

// Every block must be a public key; there is at least one. Several are good for
// a rotation: tokens of the old key and the new one are both accepted.
absl::StatusOr<std::vector<Key>> ParsePublicKeysPem(std::string_view text);

// Exactly one unencrypted private key.
absl::StatusOr<Key> ParsePrivateKeyPem(std::string_view text);

}  // namespace herald
