#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace herald {

// The id of a session on this node: a shard number and 128 unguessable bits. Who knows
// the id may address the session, so it is made with the kernel's generator.
//
// Its text names the node too: `<node>-<shard, 2 hex>-<32 hex>`, so that a command for
// a session goes straight to its node and shard: routing is arithmetic.
struct SessionId {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  std::uint8_t shard = 0;

  static SessionId New(std::uint8_t shard);
  std::string ToString(std::string_view node) const;

  auto operator<=>(const SessionId&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const SessionId& id) {
    return H::combine(std::move(h), id.high, id.low);
  }
};

struct ParsedSessionId {
  std::string_view node;  // points into the text given
  SessionId id;
};

// kInvalidArgument if `text` has not the form of a session id.
absl::StatusOr<ParsedSessionId> ParseSessionId(std::string_view text);

}  // namespace herald
