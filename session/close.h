#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>

#include "absl/time/time.h"

namespace herald {

// WebSocket close codes that Herald sends (docs/client-protocol.md holds the table).
enum class CloseCode : std::uint16_t {
  kNormal = 1000,           // RFC 6455 §7.4.1
  kGoingAway = 1001,        //
  kProtocolError = 1002,    //
  kWrongDataType = 1003,    //
  kNoStatus = 1005,         // never sent: the peer's close frame had no code
  kAbnormal = 1006,         // never sent: the connection broke without a close frame
  kBadUtf8 = 1007,          //
  kPolicy = 1008,           //
  kTooBig = 1009,           //
  kRestart = 1012,          // this replica restarts
  kTryLater = 1013,         // overloaded
  kBadFrame = 4400,         // malformed or unexpected client frame
  kUnauthenticated = 4401,  // no or bad token
  kTokenExpired = 4402,
  kForbidden = 4403,
  kTimeout = 4408,  // no pong, or no `connect` in time
  kResumedElsewhere = 4409,
  kByProducer = 4410,
  kSlowConsumer = 4413,
  kTooMany = 4429,  // frames a second, or sessions of one user
};

// The codes that closes are counted by; any other code counts as "other".
inline constexpr CloseCode kCloseCodes[] = {
    CloseCode::kNormal,          CloseCode::kGoingAway,        CloseCode::kProtocolError,
    CloseCode::kWrongDataType,   CloseCode::kNoStatus,         CloseCode::kAbnormal,
    CloseCode::kBadUtf8,         CloseCode::kPolicy,           CloseCode::kTooBig,
    CloseCode::kRestart,         CloseCode::kTryLater,         CloseCode::kBadFrame,
    CloseCode::kUnauthenticated, CloseCode::kTokenExpired,     CloseCode::kForbidden,
    CloseCode::kTimeout,         CloseCode::kResumedElsewhere, CloseCode::kByProducer,
    CloseCode::kSlowConsumer,    CloseCode::kTooMany};
inline constexpr std::size_t kCountedCloses = std::size(kCloseCodes) + 1;
// Where closes with `code` are counted; the last place is for all other codes.
constexpr std::size_t CloseIndex(CloseCode code) {
  std::size_t i = 0;
  while (i < std::size(kCloseCodes) && kCloseCodes[i] != code) ++i;
  return i;
}

struct ReconnectAdvice {
  bool never = false;
  absl::Duration delay = absl::ZeroDuration();
};

struct CloseRequest {
  CloseCode code = CloseCode::kNormal;
  std::string reason;                     // at most 123 bytes of UTF-8 (RFC 6455 §5.5)
  std::optional<ReconnectAdvice> advice;  // told in a `reconnect` frame before the close
  // Do not wait for a peer that does not read: what the kernel holds for it is to be freed.
  bool at_once = false;
};

// True if a client whose session ended like this is expected again (docs/client-protocol.md).
constexpr bool MayComeBack(CloseCode code) {
  switch (code) {
    case CloseCode::kAbnormal:
    case CloseCode::kRestart:
    case CloseCode::kTryLater:
    case CloseCode::kUnauthenticated:
    case CloseCode::kTokenExpired:
    case CloseCode::kTimeout:
    case CloseCode::kResumedElsewhere:  // it has come back already
    case CloseCode::kSlowConsumer:
    case CloseCode::kTooMany:
      return true;
    default:
      return false;
  }
}

// Why a message did not reach a session; the names are those in receipts and metrics.
enum class DropReason : std::uint8_t {
  kNoSession,
  kSlowConsumer,
  kExpired,
  kCollapsed,
  kDisconnected,
  kTimeout
};
inline constexpr int kDropReasons = 6;
inline constexpr const char* kDropReasonNames[kDropReasons] = {
    "no_session", "slow_consumer", "expired", "collapsed", "disconnected", "timeout"};

}  // namespace herald
