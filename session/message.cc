#include "session/message.h"

#include <fmt/format.h>

#include <optional>

#include "absl/time/clock.h"
#include "session/payload_kind.h"
#include "session/random.h"

namespace herald {
namespace {

absl::Status TooLong(std::string_view field, std::size_t size, std::size_t limit) {
  return absl::InvalidArgumentError(
      fmt::format("{} is {} bytes, over the limit of {}", field, size, limit));
}

absl::Status CheckSizes(const MessageBody& body, std::size_t max_payload_bytes) {
  if (body.payload.size() > max_payload_bytes) {
    return TooLong("message.payload", body.payload.size(), max_payload_bytes);
  }
  if (body.id.size() > kMaxMessageIdBytes) {
    return TooLong("message.id", body.id.size(), kMaxMessageIdBytes);
  }
  if (body.event.size() > kMaxEventBytes) {
    return TooLong("message.event", body.event.size(), kMaxEventBytes);
  }
  if (body.content_type.size() > kMaxContentTypeBytes) {
    return TooLong("message.content_type", body.content_type.size(), kMaxContentTypeBytes);
  }
  if (body.attributes.size() > kMaxAttributes) {
    return absl::InvalidArgumentError(
        fmt::format("message.attributes has {} entries, over the limit of {}",
                    body.attributes.size(), kMaxAttributes));
  }
  for (const auto& [key, value] : body.attributes) {
    if (key.empty()) return absl::InvalidArgumentError("message.attributes has an empty key");
    std::size_t longest = std::max(key.size(), value.size());
    if (longest > kMaxAttributeBytes)
      return TooLong("message.attributes", longest, kMaxAttributeBytes);
  }
  // These go into text frames, which must be UTF-8 as a whole (RFC 6455 §8.1).
  if (!IsUtf8(body.id)) return absl::InvalidArgumentError("message.id is not valid UTF-8");
  if (!IsUtf8(body.event)) return absl::InvalidArgumentError("message.event is not valid UTF-8");
  if (!IsUtf8(body.content_type)) {
    return absl::InvalidArgumentError("message.content_type is not valid UTF-8");
  }
  for (const auto& [key, value] : body.attributes) {
    if (!IsUtf8(key) || !IsUtf8(value)) {
      return absl::InvalidArgumentError("message.attributes is not valid UTF-8");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckMessage(MessageBody& body, std::size_t max_payload_bytes) {
  if (absl::Status status = CheckSizes(body, max_payload_bytes); !status.ok()) return status;
  if (!SaysJson(body.content_type)) return absl::OkStatus();
  if (!IsJson(body.payload)) {
    return absl::InvalidArgumentError(fmt::format(
        "message.payload is not valid JSON, but message.content_type says {}", body.content_type));
  }
  body.kind = PayloadKind::kJson;
  return absl::OkStatus();
}

MessageBodyPtr ShareMessage(MessageBody body) {
  if (body.kind != PayloadKind::kJson)
    body.kind = *ClassifyPayload(body.payload, body.content_type);
  if (body.accepted_unix_ms == 0) body.accepted_unix_ms = absl::ToUnixMillis(absl::Now());
  if (body.id.empty()) MakeMessageId(body.accepted_unix_ms, body.id);
  return std::make_shared<const MessageBody>(std::move(body));
}

absl::StatusOr<MessageBodyPtr> AcceptMessage(MessageBody body, std::size_t max_payload_bytes) {
  if (absl::Status bad = CheckMessage(body, max_payload_bytes); !bad.ok()) return bad;
  return ShareMessage(std::move(body));
}

std::size_t Message::size_bytes() const {
  // The payload twice: most messages have been encoded for one protocol.
  std::size_t bytes = sizeof(Message) + sizeof(MessageBody) + sizeof(Frame) +
                      2 * body_->payload.size() + topic_.size() + body_->event.size() +
                      body_->id.size();
  for (const auto& [key, value] : body_->attributes) bytes += key.size() + value.size() + 64;
  return bytes;
}

std::uint32_t TopicHash(std::string_view topic) {
  return static_cast<std::uint32_t>(StringHash{}(topic));
}

const FramePtr& Message::EncodedFor(Encoding encoding, const Encoders& encoders) const {
  if (encoding.compressed) return CompressedFor(encoding.protocol, encoders);
  const auto slot = static_cast<std::size_t>(encoding.protocol);
  plain_.made[slot].Do([&] {
    auto frame = std::make_shared<Frame>();
    encoders.by_protocol[slot]->Encode(*this, frame->bytes);
    frame->topic = TopicHash(topic_);
    plain_.frames[slot] = std::move(frame);
  });
  return plain_.frames[slot];
}

const FramePtr& Message::CompressedFor(Protocol protocol, const Encoders& encoders) const {
  compressed_made_.Do([&] { compressed_ = std::make_unique<Frames>(); });
  const auto slot = static_cast<std::size_t>(protocol);
  compressed_->made[slot].Do([&] {
    const FramePtr& plain = EncodedFor(protocol, encoders);
    auto frame = std::make_shared<Frame>();
    if (encoders.compressor->Compress(plain->bytes, frame->bytes)) {
      frame->topic = plain->topic;
      compressed_->frames[slot] = std::move(frame);
    } else {
      compressed_->frames[slot] = plain;
    }
  });
  return compressed_->frames[slot];
}

}  // namespace herald
