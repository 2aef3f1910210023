#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace herald::cli {

// Frames of the subprotocol `herald.v1.json`, as client_protocol.proto defines them, from the
// client's side.

std::string ConnectFrame(std::uint32_t id, std::string_view token);
// `position` empty: from now on.
std::string SubscribeFrame(std::uint32_t id, std::string_view topic, std::string_view position);
// What someone typed: goes as `data`, unchanged, if it is JSON, else as `text`. To the backends that watch …
std::string UpstreamFrame(std::uint32_t id, std::string_view event, std::string_view line);
// … or to the other sessions of a topic.
std::string PublishFrame(std::uint32_t id, std::string_view topic, std::string_view event,
                         std::string_view line);
std::string AckFrame(std::string_view topic, std::uint64_t offset);

// A raw message as one JSON object: {"text":"…"}, or {"bytes":"…"} in base64 for binary ones.
std::string RawJson(std::string_view payload, bool text);

struct ServerFrame {
  enum Kind { kHello, kMessage, kReply, kOther };
  Kind kind = kOther;

  // kMessage
  std::string topic;
  std::uint64_t offset = 0;
  std::string event;
  std::string payload;  // JSON as it came, on one line; text as it is; other bytes as base64

  // kReply
  std::uint32_t id = 0;
  std::string error;  // "CODE: message", empty when ok

  // All kinds but kMessage: what it says, for people.
  std::string note;
};

// kInvalidArgument if it is not a JSON object with one known shape. Kinds that a newer server may
// have are kOther.
absl::StatusOr<ServerFrame> ParseServerFrame(std::string_view text);

}  // namespace herald::cli
