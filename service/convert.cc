#include "service/convert.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "fmt/format.h"
#include "session/topic_name.h"

namespace herald {
namespace {

constexpr absl::Duration kMaxTtl = absl::Hours(24 * 366);
constexpr std::size_t kMaxCollapseKeyBytes = 128;

absl::Status Invalid(std::string_view field, const absl::Status& why) {
  return absl::InvalidArgumentError(fmt::format("{}: {}", field, std::string(why.message())));
}

void KeepUnique(std::vector<std::string>& names) {
  absl::flat_hash_set<std::string> seen;
  std::erase_if(names, [&](const std::string& name) { return !seen.insert(name).second; });
}

absl::StatusOr<ToUsers> ParseUsers(const google::protobuf::RepeatedPtrField<std::string>& users) {
  if (users.empty()) return absl::InvalidArgumentError("target.users is empty");
  if (users.size() > kMaxTargetNames) {
    return absl::InvalidArgumentError(fmt::format(
        "target.users has {} entries, over the limit of {}", users.size(), kMaxTargetNames));
  }
  ToUsers to;
  for (const std::string& user : users) {
    if (absl::Status bad = ValidateUserId(user); !bad.ok()) return Invalid("target.users", bad);
    to.users.push_back(user);
  }
  if (to.users.size() > 1) KeepUnique(to.users);
  return to;
}

absl::StatusOr<SessionId> ParseLocalSession(const std::string& text, std::string_view node,
                                            std::string_view field) {
  absl::StatusOr<ParsedSessionId> parsed = ParseSessionId(text);
  if (!parsed.ok()) return Invalid(field, parsed.status());
  if (parsed->node != node) return absl::NotFoundError(fmt::format("{}: no such session", field));
  return parsed->id;
}

absl::StatusOr<ExceptionsPtr> ParseExceptions(const v1::Target& target) {
  if (target.except_sessions().empty() && target.except_users().empty()) return nullptr;
  if (target.except_sessions_size() > kMaxExceptions ||
      target.except_users_size() > kMaxExceptions) {
    return absl::InvalidArgumentError(fmt::format(
        "target.except_sessions and target.except_users may have {} entries each", kMaxExceptions));
  }
  auto except = std::make_shared<Exceptions>();
  for (const std::string& text : target.except_sessions()) {
    // Of any node: the message may reach it there.
    absl::StatusOr<ParsedSessionId> id = ParseSessionId(text);
    if (!id.ok()) return Invalid("target.except_sessions", id.status());
    except->sessions.insert(id->id);
  }
  for (const std::string& user : target.except_users()) {
    if (absl::Status bad = ValidateUserId(user); !bad.ok())
      return Invalid("target.except_users", bad);
    except->users.insert(user);
  }
  return except;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseTopics(
    const google::protobuf::RepeatedPtrField<std::string>& topics, std::size_t max,
    std::string_view field) {
  if (topics.empty()) return absl::InvalidArgumentError(fmt::format("{} is empty", field));
  if (static_cast<std::size_t>(topics.size()) > max) {
    return absl::InvalidArgumentError(
        fmt::format("{} has {} entries, over the limit of {}", field, topics.size(), max));
  }
  std::vector<std::string> names;
  for (const std::string& topic : topics) {
    if (absl::Status bad = ValidateClientTopic(topic); !bad.ok()) return Invalid(field, bad);
    names.push_back(topic);
  }
  if (names.size() > 1) KeepUnique(names);
  return names;
}

absl::Status ParseOneTopic(const v1::Target& target, TopicText& topic) {
  if (target.has_topic()) {
    if (absl::Status bad = ValidateClientTopic(target.topic()); !bad.ok())
      return Invalid("target.topic", bad);
    topic.Set(target.topic());
    return absl::OkStatus();
  }
  if (absl::Status bad = ValidateUserId(target.user_id()); !bad.ok())
    return Invalid("target.user_id", bad);
  topic.SetPersonal(target.user_id());
  return absl::OkStatus();
}

absl::InlinedVector<std::string, 1> TopicsOf(const Target& target) {
  absl::InlinedVector<std::string, 1> topics;
  if (const auto* to = std::get_if<ToUsers>(&target.to)) {
    for (const std::string& user : to->users) topics.push_back(PersonalTopic(user));
  } else if (const auto* to = std::get_if<ToTopics>(&target.to)) {
    topics.assign(to->topics.begin(), to->topics.end());
  } else if (std::holds_alternative<ToAll>(target.to)) {
    topics.emplace_back(kBroadcastTopic);
  }
  return topics;
}

absl::StatusOr<Target> ParseTarget(const v1::Target& target, std::string_view node) {
  Target parsed;
  absl::StatusOr<ExceptionsPtr> except = ParseExceptions(target);
  if (!except.ok()) return except.status();
  parsed.except = *std::move(except);
  switch (target.to_case()) {
    case v1::Target::kSessionId: {
      absl::StatusOr<SessionId> id =
          ParseLocalSession(target.session_id(), node, "target.session_id");
      if (!id.ok()) return id.status();
      parsed.to = *id;
      return parsed;
    }
    case v1::Target::kUserId:
      if (absl::Status bad = ValidateUserId(target.user_id()); !bad.ok())
        return Invalid("target.user_id", bad);
      parsed.to = ToUsers{{target.user_id()}};
      return parsed;
    case v1::Target::kUsers: {
      absl::StatusOr<ToUsers> users = ParseUsers(target.users().user_ids());
      if (!users.ok()) return users.status();
      parsed.to = *std::move(users);
      return parsed;
    }
    case v1::Target::kTopic:
      if (absl::Status bad = ValidateClientTopic(target.topic()); !bad.ok())
        return Invalid("target.topic", bad);
      parsed.to = ToTopics{{target.topic()}};
      return parsed;
    case v1::Target::kTopics: {
      auto topics = ParseTopics(target.topics().topics(), kMaxTargetNames, "target.topics");
      if (!topics.ok()) return topics.status();
      parsed.to = ToTopics{*std::move(topics)};
      return parsed;
    }
    case v1::Target::kAll:
      if (!target.all()) break;
      parsed.to = ToAll{};
      return parsed;
    case v1::Target::kSelector: {
      absl::StatusOr<Selector> selector = Selector::Parse(target.selector());
      if (!selector.ok()) return Invalid("target.selector", selector.status());
      parsed.to = *std::move(selector);
      return parsed;
    }
    case v1::Target::TO_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(
      "target is not set: one of session_id, user_id, users, topic, topics, all, selector");
}

absl::StatusOr<DeliveryOptions> ParsePolicy(const v1::Policy& policy, absl::Time now) {
  DeliveryOptions options;
  if (policy.has_ttl()) {
    const absl::Duration ttl = ToDuration(policy.ttl());
    if (ttl <= absl::ZeroDuration() || ttl > kMaxTtl)
      return absl::InvalidArgumentError("policy.ttl must be over 0 and at most 366 days");
    // Rounded up: a message never goes before its time.
    options.expires_unix_ms = absl::ToUnixMillis(now + ttl) + 1;
  }
  if (!v1::Priority_IsValid(policy.priority()))
    return absl::InvalidArgumentError("policy.priority is no priority");
  options.high_priority = policy.priority() == v1::PRIORITY_HIGH;
  if (policy.collapse_key().size() > kMaxCollapseKeyBytes) {
    return absl::InvalidArgumentError(
        fmt::format("policy.collapse_key is {} bytes, over the limit of {}",
                    policy.collapse_key().size(), kMaxCollapseKeyBytes));
  }
  options.collapse_key = policy.collapse_key();
  switch (policy.overflow()) {
    case v1::OVERFLOW_UNSPECIFIED:
      break;
    case v1::OVERFLOW_DISCONNECT:
      options.overflow = Overflow::kDisconnect;
      break;
    case v1::OVERFLOW_DROP_OLDEST:
      options.overflow = Overflow::kDropOldest;
      break;
    case v1::OVERFLOW_DROP_NEWEST:
      options.overflow = Overflow::kDropNewest;
      break;
    default:
      return absl::InvalidArgumentError("policy.overflow is no overflow");
  }
  return options;
}

v1::Receipt ToProto(const Receipt::Counts& counts, std::uint64_t seq) {
  v1::Receipt receipt;
  receipt.set_seq(seq);
  receipt.set_matched(counts.matched);
  receipt.set_written(counts.written);
  receipt.set_acked(counts.acked);
  for (std::size_t i = 0; i < counts.dropped.size(); ++i) {
    if (counts.dropped[i] > 0)
      (*receipt.mutable_dropped())[kDropReasonNames[i]] = counts.dropped[i];
  }
  receipt.set_unanswered_nodes(counts.unanswered_nodes);
  receipt.set_final(true);
  return receipt;
}

void SetStatus(const absl::Status& status, v1::CommandResult& result) {
  result.set_code(static_cast<int>(status.code()));
  result.set_detail(std::string(status.message()));
  result.clear_message_id();
}

absl::Status NoSuchSession() { return absl::NotFoundError("target.session_id: no such session"); }

absl::Status NotMet(const WithinReach* within) {
  if (within == nullptr || !within->TellRefused()) return NoSuchSession();
  return absl::PermissionDeniedError(
      "target.session_id: users of this producer do not allow the session's user");
}

void MoveToBody(v1::Message& message, MessageBody& body) {
  // Asked for by name only where there is something: most have few of them, and an accessor that may
  // change a field makes it first.
  if (!message.id().empty()) body.id = message.id();
  if (!message.payload().empty()) body.payload = std::move(*message.mutable_payload());
  if (!message.content_type().empty()) body.content_type = message.content_type();
  if (!message.event().empty()) body.event = message.event();
  if (message.attributes().empty()) return;
  body.attributes.assign(message.attributes().begin(), message.attributes().end());
  std::sort(body.attributes.begin(), body.attributes.end());
}

v1::Message ToProto(const MessageBody& body) {
  v1::Message message;
  message.set_id(body.id);
  message.set_payload(body.payload);
  message.set_content_type(body.content_type);
  message.set_event(body.event);
  for (const auto& [key, value] : body.attributes) (*message.mutable_attributes())[key] = value;
  return message;
}

void SetPosition(const Position& position, std::string topic, v1::Position& to) {
  to.set_topic(std::move(topic));
  to.set_epoch(position.epoch);
  to.set_offset(position.offset);
  to.set_token(position.ToToken());
}

v1::Session ToProto(const SessionInfo& info, std::string_view node) {
  v1::Session session;
  session.set_session_id(info.id);
  session.set_user_id(info.user);
  session.set_node(std::string(node));
  session.set_protocol(info.protocol == Protocol::kRaw    ? v1::PROTOCOL_RAW
                       : info.protocol == Protocol::kJson ? v1::PROTOCOL_JSON
                                                          : v1::PROTOCOL_PROTO);
  for (const auto& [key, value] : info.labels) (*session.mutable_labels())[key] = value;
  for (const std::string& topic : info.topics) session.add_topics(topic);
  SetTime(info.opened_at, session.mutable_opened_at());
  session.set_remote_address(info.remote_address);
  session.set_user_agent(info.user_agent);
  session.set_messages_out(info.messages_out);
  session.set_bytes_out(info.bytes_out);
  session.set_messages_in(info.messages_in);
  session.set_bytes_in(info.bytes_in);
  session.set_queued_bytes(info.queued_bytes);
  session.set_dropped(info.dropped);
  return session;
}

v1::Event ToProto(const Event& event, bool redelivered, std::string_view node) {
  v1::Event to;
  to.set_id(event.id);
  to.set_kind(static_cast<v1::EventKind>(event.kind));
  SetTime(event.time, to.mutable_time());
  to.set_node(event.node.empty() ? std::string(node) : event.node);
  to.set_session_id(event.session_id);
  to.set_user_id(event.user_id);
  to.set_topic(event.topic);
  to.set_redelivered(redelivered);
  switch (event.kind) {
    case EventKind::kSessionOpened: {
      v1::SessionOpened& detail = *to.mutable_session_opened();
      for (const auto& [key, value] : event.labels) (*detail.mutable_labels())[key] = value;
      detail.set_remote_address(event.remote_address);
      detail.set_user_agent(event.user_agent);
      break;
    }
    case EventKind::kSessionClosed: {
      v1::SessionClosed& detail = *to.mutable_session_closed();
      detail.set_code(event.close_code);
      detail.set_reason(event.close_reason);
      SetDuration(event.duration, detail.mutable_duration());
      detail.set_bytes_out(event.bytes_out);
      detail.set_bytes_in(event.bytes_in);
      detail.set_messages_out(event.messages_out);
      detail.set_messages_in(event.messages_in);
      for (const auto& [reason, count] : event.dropped) (*detail.mutable_dropped())[reason] = count;
      break;
    }
    case EventKind::kClientMessage:
      to.mutable_client_message()->set_event(event.event);
      to.mutable_client_message()->set_payload(event.payload);
      to.mutable_client_message()->set_content_type(event.content_type);
      break;
    case EventKind::kNodeLost:
      to.mutable_node_lost()->set_node(event.lost_node);
      to.mutable_node_lost()->set_sessions(event.lost_sessions);
      break;
    case EventKind::kSubscribed:
    case EventKind::kUnsubscribed:
      break;
  }
  return to;
}

Event ToEvent(v1::Event& from) {
  Event event;
  event.kind = static_cast<EventKind>(from.kind());
  event.node = from.node();
  event.node_event_id = from.id();
  event.time =
      absl::FromUnixSeconds(from.time().seconds()) + absl::Nanoseconds(from.time().nanos());
  event.session_id = from.session_id();
  event.user_id = from.user_id();
  event.topic = from.topic();
  switch (from.detail_case()) {
    case v1::Event::kSessionOpened: {
      const v1::SessionOpened& detail = from.session_opened();
      for (const auto& [key, value] : detail.labels()) (void)event.labels.Set(key, value);
      event.remote_address = detail.remote_address();
      event.user_agent = detail.user_agent();
      break;
    }
    case v1::Event::kSessionClosed: {
      const v1::SessionClosed& detail = from.session_closed();
      event.close_code = static_cast<std::uint16_t>(detail.code());
      event.close_reason = detail.reason();
      event.duration = ToDuration(detail.duration());
      event.bytes_out = detail.bytes_out();
      event.bytes_in = detail.bytes_in();
      event.messages_out = detail.messages_out();
      event.messages_in = detail.messages_in();
      event.dropped.insert(detail.dropped().begin(), detail.dropped().end());
      break;
    }
    case v1::Event::kClientMessage:
      event.event = from.client_message().event();
      event.payload = std::move(*from.mutable_client_message()->mutable_payload());
      event.content_type = from.client_message().content_type();
      break;
    case v1::Event::kNodeLost:
      event.lost_node = from.node_lost().node();
      event.lost_sessions = from.node_lost().sessions();
      break;
    case v1::Event::DETAIL_NOT_SET:
      break;
  }
  return event;
}

void SetTime(absl::Time time, google::protobuf::Timestamp* to) {
  const std::int64_t nanos = absl::ToUnixNanos(time);
  to->set_seconds(nanos / 1'000'000'000);
  to->set_nanos(static_cast<int>(nanos % 1'000'000'000));
}

void SetDuration(absl::Duration duration, google::protobuf::Duration* to) {
  const std::int64_t nanos = absl::ToInt64Nanoseconds(duration);
  to->set_seconds(nanos / 1'000'000'000);
  to->set_nanos(static_cast<int>(nanos % 1'000'000'000));
}

absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

}  // namespace herald
