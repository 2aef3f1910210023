#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>
#include <simdjson.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/string_view.hpp>
#include <charconv>
#include <iterator>

#include "absl/strings/escaping.h"
#include "absl/time/time.h"
#include "fmt/format.h"
#include "session/utf8.h"
#include "ws/codec.h"

namespace herald {
namespace {

namespace ondemand = simdjson::ondemand;

// simdjson's errors leave through here alone: the rest of this file sees absl::Status.
#define HERALD_JSON_TRY(expression)                                                  \
  do {                                                                               \
    if (auto error = (expression); error != simdjson::SUCCESS) return Broken(error); \
  } while (false)

absl::Status Broken(simdjson::error_code error) {
  return absl::InvalidArgumentError(fmt::format("bad JSON: {}", simdjson::error_message(error)));
}

absl::Status WrongType(std::string_view field, std::string_view wanted) {
  return absl::InvalidArgumentError(fmt::format("`{}` must be {}", field, wanted));
}

absl::Status TooMany(std::string_view field, std::size_t max, std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("`{}` has more than {} {}", field, max, what));
}

absl::Status ReadString(std::string_view name, ondemand::value value, std::string* out) {
  std::string_view text;
  if (value.get_string().get(text) != simdjson::SUCCESS) return WrongType(name, "a string");
  out->assign(text);
  return absl::OkStatus();
}

absl::Status ReadUint(std::string_view name, ondemand::value value, std::uint64_t* out) {
  // 64-bit numbers are strings in canonical JSON; plain numbers are accepted too.
  if (value.get_uint64().get(*out) == simdjson::SUCCESS) return absl::OkStatus();
  std::string_view text;
  if (value.get_string().get(text) != simdjson::SUCCESS)
    return WrongType(name, "an unsigned integer");
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  if (error != std::errc() || end != text.data() + text.size())
    return WrongType(name, "an unsigned integer");
  return absl::OkStatus();
}

// Calls `field(name, value)` for each member of the object.
template <typename F>
absl::Status EachField(std::string_view name, ondemand::value value, F field) {
  ondemand::object object;
  if (value.get_object().get(object) != simdjson::SUCCESS) return WrongType(name, "an object");
  for (auto member : object) {
    std::string_view key;
    if (auto error = member.unescaped_key().get(key); error != simdjson::SUCCESS)
      return Broken(error);
    // The key's buffer is reused by strings that follow.
    const std::string owned(key);
    ondemand::value inner;
    if (auto error = member.value().get(inner); error != simdjson::SUCCESS) return Broken(error);
    if (absl::Status status = field(owned, inner); !status.ok()) return status;
  }
  return absl::OkStatus();
}

// The text of a value, as it stands in the frame.
absl::Status ReadVerbatim(ondemand::value value, std::string* out) {
  ondemand::json_type type;
  HERALD_JSON_TRY(value.type().get(type));
  std::string_view raw;
  if (type == ondemand::json_type::object) {
    ondemand::object object;
    HERALD_JSON_TRY(value.get_object().get(object));
    HERALD_JSON_TRY(object.raw_json().get(raw));
  } else if (type == ondemand::json_type::array) {
    ondemand::array array;
    HERALD_JSON_TRY(value.get_array().get(array));
    HERALD_JSON_TRY(array.raw_json().get(raw));
  } else {
    raw = value.raw_json_token();
  }
  // All of them reach to whatever comes next.
  while (!raw.empty() &&
         (raw.back() == ' ' || raw.back() == '\t' || raw.back() == '\r' || raw.back() == '\n')) {
    raw.remove_suffix(1);
  }
  out->assign(raw);
  return absl::OkStatus();
}

// `data`, `text` and `bytes` of a publish or message frame. True if `key` was one of them.
template <typename T>
absl::StatusOr<bool> ReadContent(std::string_view key, ondemand::value value, T& to) {
  if (key != "data" && key != "text" && key != "bytes") return false;
  if (to.content_case() != T::CONTENT_NOT_SET) {
    return absl::InvalidArgumentError("more than one of `data`, `text` and `bytes`");
  }
  absl::Status status;
  if (key == "data") {
    status = ReadVerbatim(value, to.mutable_data());
  } else if (key == "text") {
    status = ReadString(key, value, to.mutable_text());
  } else {
    std::string encoded;
    status = ReadString(key, value, &encoded);
    std::string decoded;
    if (status.ok() && !absl::Base64Unescape(encoded, &decoded) &&
        !absl::WebSafeBase64Unescape(encoded, &decoded)) {
      status = WrongType(key, "base64");
    }
    to.set_bytes(std::move(decoded));
  }
  if (!status.ok()) return status;
  return true;
}

template <typename T>
absl::Status ReadMessage(std::string_view kind, ondemand::value value, T& to) {
  return EachField(kind, value, [&](std::string_view key, ondemand::value field) -> absl::Status {
    if (key == "topic") return ReadString(key, field, to.mutable_topic());
    if (key == "event") return ReadString(key, field, to.mutable_event());
    return ReadContent(key, field, to).status();
  });
}

absl::Status ReadResume(ondemand::value value, std::size_t max_topics, v1::Connect& connect) {
  ondemand::array array;
  if (value.get_array().get(array) != simdjson::SUCCESS) return WrongType("resume", "an array");
  for (auto item : array) {
    ondemand::value entry;
    HERALD_JSON_TRY(item.get(entry));
    if (static_cast<std::size_t>(connect.resume_size()) >= max_topics)
      return TooMany("resume", max_topics, "topics");
    v1::TopicPosition& to = *connect.add_resume();
    absl::Status status =
        EachField("resume", entry, [&](std::string_view key, ondemand::value field) {
          if (key == "topic") return ReadString(key, field, to.mutable_topic());
          if (key == "position") return ReadString(key, field, to.mutable_position());
          return absl::OkStatus();
        });
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ReadConnect(ondemand::value value, const ClientFrameLimits& limits,
                         v1::Connect& connect) {
  return EachField("connect", value, [&](std::string_view key, ondemand::value field) {
    if (key == "token") return ReadString(key, field, connect.mutable_token());
    if (key == "previous_session_id")
      return ReadString(key, field, connect.mutable_previous_session_id());
    if (key == "resume") return ReadResume(field, limits.max_topics, connect);
    if (key == "labels") {
      return EachField(key, field, [&](std::string_view label, ondemand::value text) {
        if (connect.labels().size() >= limits.max_labels)
          return TooMany("labels", limits.max_labels, "entries");
        return ReadString("labels", text, &(*connect.mutable_labels())[std::string(label)]);
      });
    }
    return absl::OkStatus();
  });
}

absl::Status ReadAck(ondemand::value value, std::size_t max_topics, v1::Ack& ack) {
  return EachField("ack", value, [&](std::string_view topic, ondemand::value field) {
    if (ack.offsets().size() >= max_topics) return TooMany("ack", max_topics, "topics");
    return ReadUint("ack", field, &(*ack.mutable_offsets())[std::string(topic)]);
  });
}

absl::Status ReadKind(std::string_view kind, ondemand::value value, const ClientFrameLimits& limits,
                      v1::ClientFrame& frame) {
  if (kind == "connect") return ReadConnect(value, limits, *frame.mutable_connect());
  if (kind == "publish") return ReadMessage(kind, value, *frame.mutable_publish());
  if (kind == "message") return ReadMessage(kind, value, *frame.mutable_message());
  if (kind == "subscribe") {
    v1::Subscribe& to = *frame.mutable_subscribe();
    return EachField(kind, value, [&](std::string_view key, ondemand::value field) {
      if (key == "topic") return ReadString(key, field, to.mutable_topic());
      if (key == "position") return ReadString(key, field, to.mutable_position());
      return absl::OkStatus();
    });
  }
  if (kind == "unsubscribe") {
    v1::Unsubscribe& to = *frame.mutable_unsubscribe();
    return EachField(kind, value, [&](std::string_view key, ondemand::value field) {
      return key == "topic" ? ReadString(key, field, to.mutable_topic()) : absl::OkStatus();
    });
  }
  if (kind == "ack") return ReadAck(value, limits.max_topics, *frame.mutable_ack());
  if (kind == "refresh") {
    v1::Refresh& to = *frame.mutable_refresh();
    return EachField(kind, value, [&](std::string_view key, ondemand::value field) {
      return key == "token" ? ReadString(key, field, to.mutable_token()) : absl::OkStatus();
    });
  }
  if (kind == "ping") {
    frame.mutable_ping();
    return EachField(kind, value,
                     [](std::string_view, ondemand::value) { return absl::OkStatus(); });
  }
  return absl::InvalidArgumentError(fmt::format("unknown kind of frame `{}`", CutUtf8(kind, 32)));
}

void AppendString(std::string_view text, std::string& out) {
  out += boost::json::serialize(boost::json::string_view(text.data(), text.size()));
}

void AppendField(std::string_view key, std::string_view value, std::string& out) {
  out += '"';
  out += key;
  out += "\":";
  AppendString(value, out);
  out += ',';
}

// RFC 3339 in UTC, as protobuf's JSON has it.
void AppendTime(std::int64_t unix_ms, std::string& out) {
  // Messages of the same second follow each other.
  thread_local std::int64_t second = -1;
  thread_local std::string text;
  if (unix_ms / 1000 != second) {
    second = unix_ms / 1000;
    text =
        absl::FormatTime("%Y-%m-%dT%H:%M:%S", absl::FromUnixSeconds(second), absl::UTCTimeZone());
  }
  fmt::format_to(std::back_inserter(out), "{}.{:03}Z", text, unix_ms % 1000);
}

// The same as protobuf would write, which takes 15 µs for it: a fifth of a handshake.
std::string JsonOfHello(const v1::Hello& hello) {
  boost::json::object json;
  const auto set = [](boost::json::object& to, const char* key, const std::string& value) {
    if (!value.empty()) to[key] = value;
  };
  set(json, "session_id", hello.session_id());
  set(json, "user_id", hello.user_id());
  if (hello.has_ping_interval())
    json["ping_interval"] = google::protobuf::util::TimeUtil::ToString(hello.ping_interval());
  if (hello.has_limits()) {
    const v1::ClientLimits& from = hello.limits();
    boost::json::object& limits = json["limits"].emplace_object();
    if (from.max_message_bytes() != 0)
      limits["max_message_bytes"] = std::to_string(from.max_message_bytes());
    if (from.max_topics() != 0) limits["max_topics"] = from.max_topics();
    if (from.messages_per_second() != 0) limits["messages_per_second"] = from.messages_per_second();
  }
  if (hello.topics_size() > 0) {
    boost::json::array& topics = json["topics"].emplace_array();
    for (const v1::TopicState& from : hello.topics()) {
      boost::json::object& state = topics.emplace_back(boost::json::object()).get_object();
      set(state, "topic", from.topic());
      set(state, "position", from.position());
      if (from.has_recovered()) state["recovered"] = from.recovered();
      set(state, "reason", from.reason());
      if (from.offset() != 0) state["offset"] = std::to_string(from.offset());
    }
  }
  set(json, "node", hello.node());
  set(json, "version", hello.version());
  return R"({"hello":)" + boost::json::serialize(json) + '}';
}

std::string JsonOfMessage(const Message& message) {
  const MessageBody& body = message.body();
  std::string json;
  json.reserve(body.payload.size() + message.topic().size() + 256);
  json += R"({"message":{)";
  if (!message.topic().empty()) AppendField("topic", message.topic(), json);
  if (!message.position().empty()) {
    json += fmt::format(R"("offset":"{}","position":"{}",)", message.position().offset,
                        message.position().ToToken());
  }
  AppendField("id", body.id, json);
  if (!body.event.empty()) AppendField("event", body.event, json);
  json += R"("time":")";
  AppendTime(body.accepted_unix_ms, json);
  json += "\",";
  if (!body.sender.empty()) AppendField("sender", body.sender, json);
  if (!body.attributes.empty()) {
    json += R"("attributes":{)";
    for (const auto& [key, value] : body.attributes) {
      AppendString(key, json);
      json += ':';
      AppendString(value, json);
      json += ',';
    }
    json.back() = '}';
    json += ',';
  }
  switch (body.kind) {
    case PayloadKind::kJson:
      json += R"("data":)";
      json += body.payload;
      break;
    case PayloadKind::kText:
      json += R"("text":)";
      AppendString(body.payload, json);
      break;
    case PayloadKind::kBytes:
      json += R"("bytes":")";
      json += absl::Base64Escape(body.payload);
      json += '"';
      break;
  }
  json += "}}";
  return json;
}

class Json final : public Codec {
 public:
  Opcode opcode() const override { return Opcode::kText; }

  absl::Status Decode(std::string_view data, const ClientFrameLimits& limits,
                      v1::ClientFrame& frame) const override {
    thread_local ondemand::parser parser;
    thread_local std::string padded;
    padded.assign(data);
    padded.reserve(data.size() + simdjson::SIMDJSON_PADDING);
    ondemand::document document;
    HERALD_JSON_TRY(parser.iterate(padded.data(), padded.size(), padded.capacity()).get(document));
    ondemand::value root;
    if (document.get_value().get(root) != simdjson::SUCCESS) {
      return absl::InvalidArgumentError("a frame must be a JSON object");
    }
    absl::Status status =
        EachField("frame", root, [&](std::string_view key, ondemand::value value) -> absl::Status {
          if (key == "id") {
            std::uint64_t id = 0;
            if (absl::Status bad = ReadUint("id", value, &id); !bad.ok()) return bad;
            if (id > 0xffff'ffffu) return WrongType("id", "at most 4294967295");
            frame.set_id(static_cast<std::uint32_t>(id));
            return absl::OkStatus();
          }
          if (frame.kind_case() != v1::ClientFrame::KIND_NOT_SET) {
            return absl::InvalidArgumentError("a frame must have one kind");
          }
          return ReadKind(key, value, limits, frame);
        });
    if (!status.ok()) return status;
    // The end of the text is an error to look at; anything else there is one too many.
    if (document.current_location().error() == simdjson::SUCCESS)
      return absl::InvalidArgumentError("bad JSON: something follows the frame");
    return absl::OkStatus();
  }

  FramePtr EncodeFrame(const v1::ServerFrame& frame) const override {
    std::string json;
    if (frame.kind_case() == v1::ServerFrame::kHello) {
      json = JsonOfHello(frame.hello());
    } else {
      google::protobuf::util::JsonPrintOptions options;
      options.preserve_proto_field_names = true;
      // Cannot fail: none of these messages holds an Any or a time out of range.
      (void)google::protobuf::util::MessageToJsonString(frame, &json, options);
    }
    auto made = std::make_shared<Frame>();
    made->messages = 0;
    AppendFrameHeader(Opcode::kText, json.size(), made->bytes);
    made->bytes += json;
    return made;
  }

  void Encode(const Message& message, std::string& out) const override {
    const std::string json = JsonOfMessage(message);
    out.reserve(json.size() + 10);
    AppendFrameHeader(Opcode::kText, json.size(), out);
    out += json;
  }
};

}  // namespace

const Codec& JsonCodec() {
  static const Json codec;
  return codec;
}

}  // namespace herald
