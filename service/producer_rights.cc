#include "service/producer_rights.h"

#include "fmt/format.h"
#include "session/topic_name.h"

namespace herald {
namespace {

constexpr std::size_t kQuotedBytes = 128;

// A name in an error message. A long one may end inside a character, so it is not repeated.
std::string Quoted(std::string_view name) {
  if (name.size() > kQuotedBytes) return fmt::format("of {} bytes", name.size());
  return fmt::format("\"{}\"", name);
}

// True for commands that change the sessions that they meet, and do not send through a topic.
bool ChangesSessions(const v1::Command& command) { return !command.has_deliver(); }

}  // namespace

Denial ProducerRights::Deny(Right missing, std::string_view action,
                            std::string_view allowed) const {
  return {missing, fmt::format("producer \"{}\" may not {}: {}", name, action, allowed)};
}

std::optional<Denial> ProducerRights::CheckVerb(Right verb) const {
  if (May(verb)) return std::nullopt;
  return Denial{
      verb, fmt::format("producer \"{}\" may not {}: may lacks {}", name, Name(verb), Name(verb))};
}

std::optional<Denial> ProducerRights::CheckStream() const {
  for (const Right verb : {Right::kDeliver, Right::kJoin, Right::kDisconnect, Right::kLabels})
    if (May(verb)) return std::nullopt;
  return Denial{Right::kDeliver,
                fmt::format("producer \"{}\" may not open a Push stream: may lacks deliver, join, "
                            "disconnect and labels",
                            name)};
}

std::optional<Denial> ProducerRights::CheckTopic(std::string_view action,
                                                 std::string_view topic) const {
  // An empty name is no topic, and is refused as such later.
  if (topic.empty() || reach.CoversTopic(topic)) return std::nullopt;
  if (IsReserved(topic)) {
    return Deny(Right::kUsers, fmt::format("{} topic {}", action, Quoted(topic)),
                fmt::format("users allows {}", reach.users.Describe()));
  }
  return Deny(Right::kTopics, fmt::format("{} topic {}", action, Quoted(topic)),
              fmt::format("topics allows {}", reach.topics.Describe()));
}

std::optional<Denial> ProducerRights::CheckUser(std::string_view action,
                                                std::string_view user) const {
  // An empty name is no user, and is refused as such later.
  if (user.empty() || reach.CoversUser(user)) return std::nullopt;
  return Deny(Right::kUsers, fmt::format("{} user {}", action, Quoted(user)),
              fmt::format("users allows {}", reach.users.Describe()));
}

std::optional<Denial> ProducerRights::CheckSession(std::string_view action) const {
  if (TouchesEverySession() || !reach.users.empty()) return std::nullopt;
  return Deny(Right::kUsers, fmt::format("{} sessions", action), "users allows nothing");
}

std::optional<Denial> ProducerRights::CheckTarget(std::string_view action,
                                                  const v1::Target& target) const {
  const auto each = [](const auto& names, const auto& check) -> std::optional<Denial> {
    for (const std::string& name : names) {
      if (auto denied = check(name)) return denied;
    }
    return std::nullopt;
  };
  const auto user = [&](std::string_view name) { return CheckUser(action, name); };
  const auto topic = [&](std::string_view name) { return CheckTopic(action, name); };
  std::optional<Denial> denied;
  switch (target.to_case()) {
    case v1::Target::kTopic:
      denied = topic(target.topic());
      break;
    case v1::Target::kUserId:
      denied = user(target.user_id());
      break;
    case v1::Target::kTopics:
      denied = each(target.topics().topics(), topic);
      break;
    case v1::Target::kUsers:
      denied = each(target.users().user_ids(), user);
      break;
    case v1::Target::kAll:
      if (target.all() && !all)
        denied = Deny(Right::kAll, fmt::format("{} all sessions", action), "all is not true");
      break;
    case v1::Target::kSelector:
      if (!selectors) {
        denied = Deny(Right::kSelectors, fmt::format("{} sessions by a selector", action),
                      "selectors is not true");
      }
      break;
    case v1::Target::kSessionId:
      denied = CheckSession(action);
      break;
    case v1::Target::TO_NOT_SET:
      break;
  }
  if (denied || target.except_users().empty() || TouchesEverySession()) return denied;
  // An exception for a user tells, by `matched`, whether that user is there.
  return each(target.except_users(),
              [&](std::string_view name) { return CheckUser("except", name); });
}

std::optional<Denial> ProducerRights::Check(const v1::Command& command) const {
  Right verb{};
  const v1::Target* target = nullptr;
  const google::protobuf::RepeatedPtrField<std::string>* topics = nullptr;
  std::string_view action;
  switch (command.action_case()) {
    case v1::Command::kDeliver:
      verb = Right::kDeliver;
      action = "deliver to";
      target = &command.deliver().target();
      break;
    case v1::Command::kJoin:
      verb = Right::kJoin;
      action = "join";
      target = &command.join().target();
      topics = &command.join().topics();
      break;
    case v1::Command::kLeave:
      verb = Right::kJoin;
      action = "leave";
      target = &command.leave().target();
      topics = &command.leave().topics();
      break;
    case v1::Command::kDisconnect:
      verb = Right::kDisconnect;
      action = "disconnect";
      target = &command.disconnect().target();
      break;
    case v1::Command::kSetLabels:
      verb = Right::kLabels;
      action = "set labels of";
      target = &command.set_labels().target();
      break;
    case v1::Command::ACTION_NOT_SET:
      return std::nullopt;
  }
  if (!May(verb)) return CheckVerb(verb);
  if (auto denied = CheckTarget(action, *target)) return denied;
  // The sessions of a topic are changed as far as their users are covered; without any user there
  // is nothing that could be.
  const bool by_topic = target->has_topic() || target->has_topics();
  if (by_topic && ChangesSessions(command)) {
    if (auto denied = CheckSession(action)) return denied;
  }
  if (topics == nullptr) return std::nullopt;
  for (const std::string& topic : *topics) {
    if (auto denied = CheckTopic(action, topic)) return denied;
  }
  return std::nullopt;
}

}  // namespace herald
