#include "ws/auth/token_fault.h"

#include <fmt/format.h>

#include <optional>
#include <string>

#include "absl/strings/cord.h"

namespace herald {
namespace {

constexpr char kPayloadType[] = "herald/token_fault";

}  // namespace

absl::Status RefuseToken(TokenFault fault, std::string_view why) {
  const std::string message = fmt::format("token {}", why);
  absl::Status status = fault == TokenFault::kExpired ? absl::DeadlineExceededError(message)
                                                      : absl::UnauthenticatedError(message);
  const char value = static_cast<char>(fault);
  status.SetPayload(kPayloadType, absl::Cord(absl::string_view(&value, 1)));
  return status;
}

TokenFault TokenFaultOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kPayloadType);
  if (!payload.has_value() || payload->size() != 1) return TokenFault::kMalformed;
  return static_cast<TokenFault>((*payload)[0]);
}

}  // namespace herald
