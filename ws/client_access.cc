#include "ws/client_access.h"

#include <algorithm>

#include "fmt/format.h"
#include "session/string_map.h"

namespace herald {
namespace {

std::vector<TopicPattern> ParseAll(const std::vector<std::string>& texts) {
  std::vector<TopicPattern> patterns;
  for (const std::string& text : texts) {
    absl::StatusOr<TopicPattern> pattern = TopicPattern::Parse(text);
    if (pattern.ok()) patterns.push_back(*std::move(pattern));
  }
  return patterns;
}

std::uint64_t HashOf(std::string_view token_id) {
  return token_id.empty() ? 0 : std::max<std::uint64_t>(StringHash{}(token_id), 1);
}

bool MatchesAny(const std::vector<TopicPattern>& patterns, const std::string& topic) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const TopicPattern& pattern) { return pattern.Matches(topic); });
}

// `what`: "subscribe to" or "publish on". `where`: what in the token could have granted it.
absl::Status Check(TopicRule::Access access, bool granted, std::string_view user,
                   std::string_view what, std::string_view where) {
  switch (access) {
    case TopicRule::Access::kAnyone:
      return absl::OkStatus();
    case TopicRule::Access::kUser:
      if (!user.empty()) return absl::OkStatus();
      return absl::PermissionDeniedError(
          fmt::format("sign in: only clients with a user may {} this topic", what));
    case TopicRule::Access::kGranted:
      if (granted) return absl::OkStatus();
      return absl::PermissionDeniedError(
          user.empty()
              ? fmt::format("sign in: only a client whose token grants it may {} this topic", what)
              : fmt::format("the token does not grant to {} this topic: {}", what, where));
    case TopicRule::Access::kNone:
      break;
  }
  return absl::PermissionDeniedError(
      fmt::format("the topic's rule does not let clients {} it", what));
}

}  // namespace

ClientAccess::ClientAccess(const Claims& claims) {
  const bool grants =
      !claims.allow_subscribe.empty() || !claims.allow_publish.empty() || !claims.topics.empty();
  const bool expires = claims.expires_at != absl::InfiniteFuture();
  if (claims.key == 0 && claims.token_id.empty() && !expires && !grants) return;
  auto token = std::make_unique<Token>();
  token->key = claims.key;
  token->id_hash = HashOf(claims.token_id);
  token->expires_at = claims.expires_at;
  if (grants) {
    std::string topics;
    for (const std::string& topic : claims.topics) topics.append(topic).append(1, '\n');
    token->grants = std::make_unique<const Grants>(Grants{
        ParseAll(claims.allow_subscribe), ParseAll(claims.allow_publish), std::move(topics)});
  }
  token_ = std::move(token);
}

absl::Status ClientAccess::MaySubscribe(const TopicRule& rule, const std::string& topic,
                                        std::string_view user) const {
  const Grants* grants = token_ ? token_->grants.get() : nullptr;
  const bool granted = rule.client_subscribe == TopicRule::Access::kGranted && grants != nullptr &&
                       (MatchesAny(grants->subscribe, topic) || SubscribedByToken(topic));
  return Check(rule.client_subscribe, granted, user, "subscribe to",
               "neither its `allow` nor its `topics` has it");
}

absl::Status ClientAccess::MayPublish(const TopicRule& rule, const std::string& topic,
                                      std::string_view user) const {
  const Grants* grants = token_ ? token_->grants.get() : nullptr;
  const bool granted = rule.client_publish == TopicRule::Access::kGranted && grants != nullptr &&
                       MatchesAny(grants->publish, topic);
  return Check(rule.client_publish, granted, user, "publish on", "its `allow` does not have it");
}

bool ClientAccess::SubscribedByToken(std::string_view topic) const {
  if (!token_ || !token_->grants) return false;
  std::string_view left = token_->grants->topics;
  while (!left.empty()) {
    const std::size_t end = left.find('\n');
    if (left.substr(0, end) == topic) return true;
    left.remove_prefix(end + 1);
  }
  return false;
}

void ClientAccess::ExpireAt(absl::Time time) {
  if (token_) token_->expires_at = std::min<absl::Time>(token_->expires_at, time);
}

bool ClientAccess::HasTokenId(std::string_view token_id) const {
  return token_ && !token_id.empty() && token_->id_hash == HashOf(token_id);
}

}  // namespace herald
