#include "session/position.h"

#include <bit>
#include <cstring>

#include "absl/strings/escaping.h"

namespace herald {
namespace {
static_assert(std::endian::native == std::endian::little, "positions are stored little endian");
constexpr std::size_t kBytes = 24;
constexpr std::size_t kTokenBytes = 32;
}  // namespace

std::string Position::ToToken() const {
  if (empty()) return "";
  char bytes[kBytes];
  std::memcpy(bytes, &epoch, 8);
  std::memcpy(bytes + 8, &offset, 8);
  std::memcpy(bytes + 16, &fence, 8);
  return absl::WebSafeBase64Escape(absl::string_view(bytes, kBytes));
}

absl::StatusOr<Position> Position::FromToken(std::string_view token) {
  std::string bytes;
  if (token.size() != kTokenBytes ||
      !absl::WebSafeBase64Unescape(absl::string_view(token.data(), token.size()), &bytes) ||
      bytes.size() != kBytes) {
    return absl::InvalidArgumentError("position is not one that Herald gave out");
  }
  Position position;
  std::memcpy(&position.epoch, bytes.data(), 8);
  std::memcpy(&position.offset, bytes.data() + 8, 8);
  std::memcpy(&position.fence, bytes.data() + 16, 8);
  if (position.empty()) {
    return absl::InvalidArgumentError("position is not one that Herald gave out");
  }
  return position;
}

}  // namespace herald
