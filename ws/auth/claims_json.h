// Herald's own claims, from and to JSON. The registered ones that say whether a
// token is acceptable (`exp`, `nbf`, `iss`, `aud`) are the verifier's.
//
//   {"sub":"alice","jti":"7f3a","topics":["orders/42"],"labels":{"tier":"gold"},
//    "allow":["news/*"]}                      may subscribe and publish, or
//    "allow":{"subscribe":["news/*"],"publish":["chat/1"]}}
//
// Unknown claims are ignored; of a claim given twice the last one counts.
//
// Errors: kUnauthenticated naming the claim, never with its content.
// Spec:   RFC 7519 §4.1.2 (`sub`), §4.1.7 (`jti`) and §4.3 (private claims).
#pragma once

#include <boost/json/object.hpp>

#include "absl/status/statusor.h"
#include "ws/auth/claims.h"

namespace herald {

// Leaves expires_at and key as they are by default.
absl::StatusOr<Claims> ClaimsFromJson(const boost::json::object& payload);

// Without expires_at. What is empty is left out.
boost::json::object ClaimsToJson(const Claims& claims);

}  // namespace herald
