#include "ws/auth/claims_json.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "ws/auth/token_fault.h"

namespace herald {
namespace {

namespace json = boost::json;

absl::Status Bad(std::string_view claim, std::string_view what) {
  return RefuseToken(TokenFault::kClaims, fmt::format("claim '{}' {}", claim, what));
}

absl::Status ReadTexts(const json::value& value, std::string_view claim,
                       std::vector<std::string>& out) {
  if (!value.is_array()) return Bad(claim, "is not an array");
  const json::array& array = value.get_array();
  if (array.size() > kMaxTokenTopics) {
    return Bad(claim, fmt::format("has {} entries, {} are allowed", array.size(), kMaxTokenTopics));
  }
  out.reserve(array.size());
  for (const json::value& item : array) {
    if (!item.is_string()) return Bad(claim, "has an entry that is not a string");
    std::string text(item.get_string().data(), item.get_string().size());
    if (!IsPlainText(text, kMaxTokenTopicBytes)) {
      return Bad(claim, fmt::format("has an entry that is empty, over {} bytes or not plain text",
                                    kMaxTokenTopicBytes));
    }
    out.push_back(std::move(text));
  }
  return absl::OkStatus();
}

absl::Status ReadAllow(const json::value& value, Claims& claims) {
  if (value.is_array()) {
    const absl::Status status = ReadTexts(value, "allow", claims.allow_subscribe);
    claims.allow_publish = claims.allow_subscribe;
    return status;
  }
  if (!value.is_object()) return Bad("allow", "is neither an array nor an object");
  const json::object& allow = value.get_object();
  if (const json::value* list = allow.if_contains("subscribe")) {
    const absl::Status status = ReadTexts(*list, "allow.subscribe", claims.allow_subscribe);
    if (!status.ok()) return status;
  }
  if (const json::value* list = allow.if_contains("publish")) {
    return ReadTexts(*list, "allow.publish", claims.allow_publish);
  }
  return absl::OkStatus();
}

absl::Status ReadLabels(const json::value& value, Labels& labels) {
  if (!value.is_object()) return Bad("labels", "is not an object");
  for (const auto& [key, text] : value.get_object()) {
    if (!text.is_string()) return Bad("labels", "has a value that is not a string");
    const std::string_view name(key.data(), key.size());
    if (name.starts_with(kClientLabelPrefix)) {
      return Bad("labels", "has a key under 'client/', where clients' own labels are kept");
    }
    const absl::Status status =
        labels.Set(name, std::string_view(text.get_string().data(), text.get_string().size()));
    if (!status.ok()) {
      return Bad("labels", labels.size() < kMaxLabels
                               ? "has a key or a value that is too long or not plain"
                               : fmt::format("has more than {} labels", kMaxLabels));
    }
  }
  return absl::OkStatus();
}

json::array ToArray(const std::vector<std::string>& texts) {
  return json::array(texts.begin(), texts.end());
}

}  // namespace

absl::StatusOr<Claims> ClaimsFromJson(const json::object& payload) {
  Claims claims;
  const json::value* sub = payload.if_contains("sub");
  if (sub == nullptr || !sub->is_string()) return Bad("sub", "is missing or not a string");
  claims.subject.assign(sub->get_string().data(), sub->get_string().size());
  if (!ValidateUserId(claims.subject).ok()) {
    return Bad("sub", fmt::format("is empty, over {} bytes or not plain text", kMaxSubjectBytes));
  }
  if (const json::value* jti = payload.if_contains("jti")) {
    if (!jti->is_string()) return Bad("jti", "is not a string");
    claims.token_id.assign(jti->get_string().data(), jti->get_string().size());
    if (!IsPlainText(claims.token_id, kMaxTokenIdBytes)) {
      return Bad("jti", fmt::format("is empty, over {} bytes or not plain text", kMaxTokenIdBytes));
    }
  }
  if (const json::value* topics = payload.if_contains("topics")) {
    absl::Status status = ReadTexts(*topics, "topics", claims.topics);
    if (!status.ok()) return status;
  }
  if (const json::value* allow = payload.if_contains("allow")) {
    if (absl::Status status = ReadAllow(*allow, claims); !status.ok()) return status;
  }
  if (const json::value* labels = payload.if_contains("labels")) {
    if (absl::Status status = ReadLabels(*labels, claims.labels); !status.ok()) return status;
  }
  return claims;
}

json::object ClaimsToJson(const Claims& claims) {
  json::object out;
  out["sub"] = claims.subject;
  if (!claims.token_id.empty()) out["jti"] = claims.token_id;
  if (!claims.topics.empty()) out["topics"] = ToArray(claims.topics);
  if (claims.allow_subscribe == claims.allow_publish) {
    if (!claims.allow_subscribe.empty()) out["allow"] = ToArray(claims.allow_subscribe);
  } else {
    json::object& allow = out["allow"].emplace_object();
    allow["subscribe"] = ToArray(claims.allow_subscribe);
    allow["publish"] = ToArray(claims.allow_publish);
  }
  if (!claims.labels.empty()) {
    json::object& labels = out["labels"].emplace_object();
    for (const auto& [key, value] : claims.labels) labels[key] = value;
  }
  return out;
}

}  // namespace herald
