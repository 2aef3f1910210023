#include "service/ban_command.h"

#include <string>
#include <variant>

#include "service/convert.h"

namespace herald {
namespace {

constexpr absl::Duration kLongestBan = absl::Hours(24 * 365);
constexpr std::size_t kMaxTokenIdBytes = 255;

}  // namespace

absl::StatusOr<std::vector<BanList::Ban>> ParseBans(const v1::Disconnect& disconnect,
                                                    const Target& target, absl::Time now,
                                                    const std::string& owner) {
  const std::string& token_id = disconnect.token_id();
  if (token_id.size() > kMaxTokenIdBytes || token_id.find('\n') != std::string::npos)
    return absl::InvalidArgumentError("token_id must be at most 255 bytes, without line ends");
  const auto* const users = std::get_if<ToUsers>(&target.to);
  const bool all = std::holds_alternative<ToAll>(target.to);
  if (!token_id.empty() && users == nullptr && !all)
    return absl::InvalidArgumentError("target must be a user, users or all with token_id");
  if (!disconnect.has_ban_for()) return std::vector<BanList::Ban>();
  const absl::Duration ban_for = ToDuration(disconnect.ban_for());
  if (ban_for < absl::ZeroDuration() || ban_for > kLongestBan)
    return absl::InvalidArgumentError("ban_for must be 0 s to 365 days");
  if (target.except != nullptr)
    return absl::InvalidArgumentError("target can have no exceptions with ban_for");
  if (token_id.empty() && users == nullptr)
    return absl::InvalidArgumentError(
        "target must be a user or users with ban_for, or set token_id");
  std::vector<BanList::Ban> bans;
  if (users == nullptr) {
    bans.push_back({"", token_id, now + ban_for, owner});
  } else {
    for (const std::string& user : users->users)
      bans.push_back({user, token_id, now + ban_for, owner});
  }
  return bans;
}

}  // namespace herald
