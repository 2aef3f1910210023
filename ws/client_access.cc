#include "ws/client_access.h"

#include <algorithm>

#include "fmt/format.h"

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

absl::Status Check(TopicRule::Access access, const std::vector<TopicPattern>& allowed,
                   const std::string& topic, std::string_view what) {
  switch (access) {
    case TopicRule::Access::kAny:
      return absl::OkStatus();
    case TopicRule::Access::kToken:
      if (std::any_of(allowed.begin(), allowed.end(),
                      [&](const TopicPattern& p) { return p.Matches(topic); })) {
        return absl::OkStatus();
      }
      return absl::PermissionDeniedError(
          fmt::format("the token does not allow to {} this topic", what));
    case TopicRule::Access::kNone:
      break;
  }
  return absl::PermissionDeniedError(
      fmt::format("the topic's rule does not let clients {} it", what));
}

}  // namespace

ClientAccess::ClientAccess(const Claims& claims) {
  if (claims.allow_subscribe.empty() && claims.allow_publish.empty()) return;
  allowed_ = std::make_unique<const Allowed>(
      Allowed{ParseAll(claims.allow_subscribe), ParseAll(claims.allow_publish)});
}

absl::Status ClientAccess::MaySubscribe(const TopicRule& rule, const std::string& topic) const {
  static const std::vector<TopicPattern> kNothing;
  return Check(rule.client_subscribe, allowed_ ? allowed_->subscribe : kNothing, topic,
               "subscribe to");
}

absl::Status ClientAccess::MayPublish(const TopicRule& rule, const std::string& topic) const {
  static const std::vector<TopicPattern> kNothing;
  return Check(rule.client_publish, allowed_ ? allowed_->publish : kNothing, topic, "publish on");
}

}  // namespace herald
