#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "herald/v1/push_service.pb.h"

namespace herald {

// The first 128 bits of a SHA-256: tells payloads and keys apart without keeping them.
//
// SHA-256 because a collision would swallow a message and call it a duplicate, and producers choose
// what is hashed; absl::Hash has one seed and 64 bits, and two of it are not twice as strong. Cut to
// half, since 2^64 tries against oneself gain nothing. A short command costs less than 1 µs, and
// OpenSSL is linked for the producers' tokens anyway.
using Fingerprint = std::array<std::uint64_t, 2>;

struct FingerprintHash {
  std::size_t operator()(const Fingerprint& fingerprint) const { return fingerprint[0]; }
};

// Of several texts; where one ends and the next begins counts.
Fingerprint FingerprintOf(std::initializer_list<std::string_view> texts);

// Of what a command does: its action, maps in a fixed order, without `seq`.
Fingerprint FingerprintOf(const v1::Command& command);

}  // namespace herald
