#include "cli/client_frames.h"

#include <fmt/format.h>

#include <boost/json.hpp>

#include "absl/strings/escaping.h"

namespace herald::cli {
namespace {

namespace json = boost::json;

// The member as text; "" when it is not there. 64-bit integers are strings in canonical JSON, but
// numbers count too.
std::string Text(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains({key.data(), key.size()});
  if (value == nullptr || value->is_null()) return "";
  if (value->is_string()) return std::string(value->get_string());
  return json::serialize(*value);
}

std::uint64_t Number(const json::object& object, std::string_view key) {
  const std::string text = Text(object, key);
  std::uint64_t number = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return 0;
    number = number * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return number;
}

std::string Frame(std::uint32_t id, std::string_view kind, json::object body) {
  json::object frame;
  if (id != 0) frame["id"] = id;
  frame[{kind.data(), kind.size()}] = std::move(body);
  return json::serialize(frame);
}

void AddContent(json::object& body, std::string_view line) {
  json::error_code error;
  json::value data = json::parse({line.data(), line.size()}, error);
  if (error) {
    body["text"] = line;
  } else {
    body["data"] = std::move(data);
  }
}

std::string ReadError(const json::object& reply) {
  const json::value* error = reply.if_contains("error");
  if (error == nullptr || !error->is_object()) return "";
  const json::object& object = error->get_object();
  const std::string code = Text(object, "code");
  return fmt::format("{}: {}", code.empty() ? "UNKNOWN" : code, Text(object, "message"));
}

// Empty when all went as asked; a subscription that could not be resumed is news.
std::string ReadOk(const json::object& reply) {
  const json::value* ok = reply.if_contains("ok");
  const json::value* topic =
      ok != nullptr && ok->is_object() ? ok->get_object().if_contains("topic") : nullptr;
  if (topic == nullptr || !topic->is_object()) return "";
  const std::string reason = Text(topic->get_object(), "reason");
  if (reason.empty()) return "";
  return fmt::format("{}: what followed the position is not to be had any more ({}); from now on",
                     Text(topic->get_object(), "topic"), reason);
}

std::string HelloNote(const json::object& hello) {
  const std::string user = Text(hello, "user_id");
  return fmt::format("connected as {}, session {}", user.empty() ? "(anonymous)" : user,
                     Text(hello, "session_id"));
}

void ReadMessage(const json::object& message, ServerFrame& frame) {
  frame.kind = ServerFrame::kMessage;
  frame.topic = Text(message, "topic");
  frame.offset = Number(message, "offset");
  frame.event = Text(message, "event");
  if (const json::value* data = message.if_contains("data")) {
    frame.payload = json::serialize(*data);
  } else {
    frame.payload = Text(message, message.contains("text") ? "text" : "bytes");
  }
}

std::string OtherNote(std::string_view kind, const json::object& body) {
  if (kind == "unsubscribed") {
    return fmt::format("unsubscribed from {} by the server ({})", Text(body, "topic"),
                       Text(body, "reason"));
  }
  if (kind == "gap") {
    return fmt::format("gap in {}: messages were lost ({})", Text(body, "topic"),
                       Text(body, "reason"));
  }
  if (kind == "join" || kind == "leave") {
    const std::string user = Text(body, "user_id");
    return fmt::format("{} {} {}", user.empty() ? Text(body, "session_id") : user,
                       kind == "join" ? "joined" : "left", Text(body, "topic"));
  }
  if (kind == "reconnect") {
    const json::value* never = body.if_contains("never");
    if (never != nullptr && never->is_bool() && never->get_bool()) {
      return fmt::format("the server asks not to come back: {}", Text(body, "reason"));
    }
    return fmt::format("the server asks to reconnect after {}: {}", Text(body, "delay"),
                       Text(body, "reason"));
  }
  return "";
}

}  // namespace

std::string ConnectFrame(std::uint32_t id, std::string_view token) {
  json::object body;
  if (!token.empty()) body["token"] = token;
  return Frame(id, "connect", std::move(body));
}

std::string SubscribeFrame(std::uint32_t id, std::string_view topic, std::string_view position) {
  json::object body{{"topic", topic}};
  if (!position.empty()) body["position"] = position;
  return Frame(id, "subscribe", std::move(body));
}

std::string UpstreamFrame(std::uint32_t id, std::string_view event, std::string_view line) {
  json::object body;
  if (!event.empty()) body["event"] = event;
  AddContent(body, line);
  return Frame(id, "message", std::move(body));
}

std::string PublishFrame(std::uint32_t id, std::string_view topic, std::string_view event,
                         std::string_view line) {
  json::object body{{"topic", topic}};
  if (!event.empty()) body["event"] = event;
  AddContent(body, line);
  return Frame(id, "publish", std::move(body));
}

std::string AckFrame(std::string_view topic, std::uint64_t offset) {
  json::object offsets;
  offsets[{topic.data(), topic.size()}] = std::to_string(offset);
  return Frame(0, "ack", std::move(offsets));
}

std::string RawJson(std::string_view payload, bool text) {
  if (text) return json::serialize(json::object{{"text", payload}});
  std::string base64;
  absl::Base64Escape(absl::string_view(payload.data(), payload.size()), &base64);
  return json::serialize(json::object{{"bytes", base64}});
}

absl::StatusOr<ServerFrame> ParseServerFrame(std::string_view text) {
  json::error_code error;
  const json::value value = json::parse({text.data(), text.size()}, error);
  if (error || !value.is_object() || value.get_object().empty()) {
    return absl::InvalidArgumentError("not a frame of herald.v1.json");
  }
  const auto& member = *value.get_object().begin();
  if (!member.value().is_object()) {
    return absl::InvalidArgumentError("not a frame of herald.v1.json");
  }
  const std::string_view kind(member.key().data(), member.key().size());
  const json::object& body = member.value().get_object();

  ServerFrame frame;
  if (kind == "message") {
    ReadMessage(body, frame);
  } else if (kind == "hello") {
    frame.kind = ServerFrame::kHello;
    frame.note = HelloNote(body);
  } else if (kind == "reply") {
    frame.kind = ServerFrame::kReply;
    frame.id = static_cast<std::uint32_t>(Number(body, "id"));
    frame.error = ReadError(body);
    frame.note = frame.error.empty() ? ReadOk(body) : frame.error;
  } else {
    frame.note = OtherNote(kind, body);
  }
  return frame;
}

}  // namespace herald::cli
