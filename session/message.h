#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "session/delivery_options.h"
#include "session/frame.h"
#include "session/once.h"
#include "session/position.h"
#include "session/session_id.h"
#include "session/string_map.h"

namespace herald {

// What the payload is, found out once when it is accepted.
enum class PayloadKind : std::uint8_t {
  kJson,   // valid JSON in UTF-8: stands verbatim in JSON envelopes
  kText,   // valid UTF-8
  kBytes,  // anything else
};

// The part of a message that is the same in every topic it goes to. Immutable once shared.
struct MessageBody {
  std::string id;
  std::string payload;
  std::string content_type;
  std::string event;
  std::vector<std::pair<std::string, std::string>> attributes;
  std::string sender;  // id of the session that published it; empty for producers
  std::int64_t accepted_unix_ms = 0;
  PayloadKind kind = PayloadKind::kBytes;
};
using MessageBodyPtr = std::shared_ptr<const MessageBody>;

// Limits a message must keep; over them is kInvalidArgument.
inline constexpr std::size_t kMaxMessageIdBytes = 128;
inline constexpr std::size_t kMaxEventBytes = 255;
inline constexpr std::size_t kMaxContentTypeBytes = 127;
inline constexpr std::size_t kMaxAttributes = 32;
inline constexpr std::size_t kMaxAttributeBytes = 1024;

// Checks `body`, gives it an id and a time if it has none, and finds out what the payload is.
// kInvalidArgument names the field, as in `message.payload is 70000 bytes, over the limit of
// 65536`.
absl::StatusOr<MessageBodyPtr> AcceptMessage(MessageBody body, std::size_t max_payload_bytes);
// Its two halves, for who may find between them that the message goes nowhere: whether it is good,
// and all that only a message that goes somewhere needs.
absl::Status CheckMessage(MessageBody& body, std::size_t max_payload_bytes);
MessageBodyPtr ShareMessage(MessageBody body);

// Writes a message as WebSocket frames of one protocol. Implemented in ws/; stateless.
class Message;
class MessageEncoder {
 public:
  virtual ~MessageEncoder() = default;
  virtual void Encode(const Message& message, std::string& out) const = 0;
};

// Makes the compressed form of a frame. Implemented in ws/; any thread.
class FrameCompressor {
 public:
  virtual ~FrameCompressor() = default;
  // `frame` is one whole data frame. False, with `out` empty, if it had better stay as it is.
  virtual bool Compress(std::string_view frame, std::string& out) const = 0;
};

struct Encoders {
  std::array<const MessageEncoder*, kProtocols> by_protocol{};
  const FrameCompressor* compressor = nullptr;  // null: no session has a compressed encoding
};

// A message in one topic, at its position. Immutable, shared by shards, sessions and logs.
//
// Threads: any. The first shard that needs an encoding makes it; the others use the same frame.
// Memory:  what compression needs is allocated when a session that has it is met.
class Message {
 public:
  // `topic` is empty for messages to a session or a selector; `options` is null for most.
  Message(MessageBodyPtr body, std::string topic, Position position,
          DeliveryOptionsPtr options = nullptr)
      : body_(std::move(body)),
        topic_(std::move(topic)),
        position_(position),
        options_(std::move(options)) {}

  const MessageBody& body() const { return *body_; }
  const std::string& topic() const { return topic_; }
  const Position& position() const { return position_; }
  const DeliveryOptions* options() const { return options_.get(); }
  // Null if nobody asked for one.
  Receipt* receipt() const { return options_ ? options_->receipt.get() : nullptr; }
  // What it costs to keep: payload, one encoding and fixed parts, in bytes.
  std::size_t size_bytes() const;

  // With a compressed encoding it may be the plain frame, shared with the others.
  const FramePtr& EncodedFor(Encoding encoding, const Encoders& encoders) const;

 private:
  struct Frames {
    std::array<Once, kProtocols> made;
    std::array<FramePtr, kProtocols> frames;
  };
  const FramePtr& CompressedFor(Protocol protocol, const Encoders& encoders) const;

  const MessageBodyPtr body_;
  const std::string topic_;
  const Position position_;
  const DeliveryOptionsPtr options_;
  mutable Frames plain_;
  mutable Once compressed_made_;
  mutable std::unique_ptr<Frames> compressed_;
};
using MessagePtr = std::shared_ptr<const Message>;

// Names a topic in frames; two topics may share a name, and are then treated as one.
std::uint32_t TopicHash(std::string_view topic);

// Sessions and users that do not get a message. Shared, immutable.
struct Exceptions {
  absl::flat_hash_set<SessionId> sessions;
  StringSet users;

  // `user` is empty for an anonymous session, which no user exception covers.
  bool Cover(const SessionId& session, std::string_view user) const {
    return sessions.contains(session) || (!user.empty() && users.contains(user));
  }
};
using ExceptionsPtr = std::shared_ptr<const Exceptions>;

}  // namespace herald
