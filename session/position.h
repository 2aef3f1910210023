#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace herald {

// A place in one topic's log.
//
// The epoch is new for each incarnation of the log; offsets only grow inside it. The fence
// is a nonce stored with the message at `offset`: a log that went back in time and gave the
// same offset again has another fence there, so a position from before is noticed.
struct Position {
  std::uint64_t epoch = 0;  // 0: none (a topic without history)
  std::uint64_t offset = 0;
  std::uint64_t fence = 0;

  bool empty() const { return epoch == 0; }
  // 32 base64url characters, opaque to clients. Empty for an empty position.
  std::string ToToken() const;
  // kInvalidArgument if `token` is not one of ours.
  static absl::StatusOr<Position> FromToken(std::string_view token);

  bool operator==(const Position&) const = default;
};

}  // namespace herald
