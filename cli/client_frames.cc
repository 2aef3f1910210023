#include "cli/client_frames.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
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

// A frame with the typed line in it: JSON as it was typed, for a parser would change its numbers.
std::string FrameWithContent(std::uint32_t id, std::string_view kind, json::object body,
                             std::string_view line) {
  boost::system::error_code error;
  json::parse({line.data(), line.size()}, error);
  if (error) {
    body["text"] = line;
    return Frame(id, kind, std::move(body));
  }
  body["data"] = nullptr;
  std::string frame = Frame(id, kind, std::move(body));
  // `data` was added last.
  constexpr std::string_view kEnd = "null}}";
  frame.replace(frame.size() - kEnd.size(), kEnd.size() - 2, line);
  return frame;
}

// The member `data` of a message as its bytes stand in `frame`; empty if there is none.
std::string_view RawData(const simdjson::padded_string& frame) {
  namespace ondemand = simdjson::ondemand;
  ondemand::parser parser;
  ondemand::document document;
  ondemand::value data;
  if (parser.iterate(frame).get(document) != simdjson::SUCCESS ||
      document["message"]["data"].get(data) != simdjson::SUCCESS) {
    return {};
  }
  ondemand::json_type type{};
  ondemand::object object;
  ondemand::array array;
  std::string_view raw;
  if (data.type().get(type) != simdjson::SUCCESS) return {};
  if (type == ondemand::json_type::object) {
    if (data.get_object().get(object) || object.raw_json().get(raw)) return {};
  } else if (type == ondemand::json_type::array) {
    if (data.get_array().get(array) || array.raw_json().get(raw)) return {};
  } else {
    raw = data.raw_json_token();
  }
  // White space behind the value is simdjson's part of it.
  return raw.substr(0, raw.find_last_not_of(" \t\r\n") + 1);
}

// JSON on one line. Line ends in it can only be white space between its tokens.
std::string OneLine(std::string_view text) {
  std::string line(text);
  std::ranges::replace_if(line, [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return line;
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
  frame.payload = Text(message, message.contains("text") ? "text" : "bytes");
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
  return FrameWithContent(id, "message", std::move(body), line);
}

std::string PublishFrame(std::uint32_t id, std::string_view topic, std::string_view event,
                         std::string_view line) {
  json::object body{{"topic", topic}};
  if (!event.empty()) body["event"] = event;
  return FrameWithContent(id, "publish", std::move(body), line);
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
  // The payload is taken out first: it is printed as it came, and it may be JSON that Boost.JSON
  // does not take, such as half a surrogate pair.
  const simdjson::padded_string padded(text);
  const std::string_view data = RawData(padded);
  std::string rest(text);
  if (!data.empty())
    rest.replace(static_cast<std::size_t>(data.data() - padded.data()), data.size(), "null");
  boost::system::error_code error;
  const json::value value = json::parse(rest, error);
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
    if (!data.empty()) frame.payload = OneLine(data);
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
