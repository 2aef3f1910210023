#include <google/protobuf/io/coded_stream.h>

#include <cassert>
#include <cstdint>

#include "fmt/format.h"
#include "ws/codec.h"

namespace herald {
namespace {

using google::protobuf::io::CodedInputStream;

// Fields of a frame besides entries of lists: known ones, and ones of a newer protocol.
constexpr std::size_t kMaxOtherFields = 32;
constexpr std::uint32_t kMaxFieldBytes = 0x7fff'ffff;  // protobuf's own limit

absl::Status NotAFrame() { return absl::InvalidArgumentError("not a ClientFrame"); }

// Counts the fields of a frame before the parser makes objects of them: two bytes of `resume` would
// become a hundred.
// Spec: https://protobuf.dev/programming-guides/encoding, without groups, which no frame has.
class FieldCounter {
 public:
  explicit FieldCounter(const ClientFrameLimits& limits) : limits_(limits) {}

  // OK if the frame is within the limits. A broken frame may be OK too: the parser refuses it.
  absl::Status Check(std::string_view data) {
    CodedInputStream in(reinterpret_cast<const std::uint8_t*>(data.data()),
                        static_cast<int>(data.size()));
    while (const std::uint32_t tag = in.ReadTag()) {
      if (++others_ > kMaxOtherFields) return TooManyFields();
      const auto kind = static_cast<int>(tag >> 3);
      const bool known = v1::ClientFrame::descriptor()->FindFieldByNumber(kind) != nullptr;
      if (!known || (tag & 7) != kLengthDelimited) {
        if (absl::Status bad = Skip(tag, in); !bad.ok()) return bad;
        continue;
      }
      std::uint32_t bytes = 0;
      if (!in.ReadVarint32(&bytes)) break;
      const auto limit = in.PushLimit(static_cast<int>(bytes));
      if (absl::Status bad = CheckKind(kind, in); !bad.ok()) return bad;
      if (!in.Skip(in.BytesUntilLimit())) break;
      in.PopLimit(limit);
    }
    return absl::OkStatus();
  }

 private:
  static constexpr std::uint32_t kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5;

  absl::Status CheckKind(int kind, CodedInputStream& in) {
    while (const std::uint32_t tag = in.ReadTag()) {
      const auto field = static_cast<int>(tag >> 3);
      if (kind == v1::ClientFrame::kConnect && field == v1::Connect::kResumeFieldNumber) {
        if (++resume_ > limits_.max_topics) return TooMany("resume", limits_.max_topics, "topics");
      } else if (kind == v1::ClientFrame::kConnect && field == v1::Connect::kLabelsFieldNumber) {
        if (++labels_ > limits_.max_labels) return TooMany("labels", limits_.max_labels, "entries");
      } else if (kind == v1::ClientFrame::kAck && field == v1::Ack::kOffsetsFieldNumber) {
        if (++acks_ > limits_.max_topics) return TooMany("ack", limits_.max_topics, "topics");
      } else if (++others_ > kMaxOtherFields) {
        return TooManyFields();
      }
      if (absl::Status bad = Skip(tag, in); !bad.ok()) return bad;
    }
    return absl::OkStatus();
  }

  static absl::Status Skip(std::uint32_t tag, CodedInputStream& in) {
    std::uint64_t varint = 0;
    std::uint32_t bytes = 0;
    bool skipped = false;
    switch (tag & 7) {
      case kVarint:
        skipped = in.ReadVarint64(&varint);
        break;
      case kFixed64:
        skipped = in.Skip(8);
        break;
      case kLengthDelimited:
        skipped =
            in.ReadVarint32(&bytes) && bytes <= kMaxFieldBytes && in.Skip(static_cast<int>(bytes));
        break;
      case kFixed32:
        skipped = in.Skip(4);
        break;
      default:
        break;
    }
    return skipped ? absl::OkStatus() : NotAFrame();
  }

  static absl::Status TooMany(std::string_view field, std::size_t max, std::string_view what) {
    return absl::InvalidArgumentError(fmt::format("`{}` has more than {} {}", field, max, what));
  }
  static absl::Status TooManyFields() {
    return absl::InvalidArgumentError(
        fmt::format("the frame has more than {} fields", kMaxOtherFields));
  }

  const ClientFrameLimits& limits_;
  std::size_t resume_ = 0;
  std::size_t labels_ = 0;
  std::size_t acks_ = 0;
  std::size_t others_ = 0;
};

class Proto final : public Codec {
 public:
  Opcode opcode() const override { return Opcode::kBinary; }

  absl::Status Decode(std::string_view data, const ClientFrameLimits& limits,
                      v1::ClientFrame& frame) const override {
    if (absl::Status over = FieldCounter(limits).Check(data); !over.ok()) return over;
    if (!frame.ParseFromArray(data.data(), static_cast<int>(data.size()))) {
      return NotAFrame();
    }
    return absl::OkStatus();
  }

  FramePtr EncodeFrame(const v1::ServerFrame& frame) const override {
    auto made = std::make_shared<Frame>();
    made->messages = 0;
    Append(frame, made->bytes);
    return made;
  }

  void Encode(const Message& message, std::string& out) const override {
    const MessageBody& body = message.body();
    v1::ServerFrame frame;
    v1::ServerMessage& to = *frame.mutable_message();
    to.set_topic(message.topic());
    to.set_offset(message.position().offset);
    to.set_position(message.position().ToToken());
    to.set_id(body.id);
    to.set_event(body.event);
    to.mutable_time()->set_seconds(body.accepted_unix_ms / 1000);
    to.mutable_time()->set_nanos(static_cast<int>(body.accepted_unix_ms % 1000) * 1'000'000);
    to.set_sender(body.sender);
    for (const auto& [key, value] : body.attributes) (*to.mutable_attributes())[key] = value;
    switch (body.kind) {
      case PayloadKind::kJson:
        to.set_data(body.payload);
        break;
      case PayloadKind::kText:
        to.set_text(body.payload);
        break;
      case PayloadKind::kBytes:
        to.set_bytes(body.payload);
        break;
    }
    Append(frame, out);
  }

 private:
  static void Append(const v1::ServerFrame& frame, std::string& out) {
    AppendFrameHeader(Opcode::kBinary, frame.ByteSizeLong(), out);
    [[maybe_unused]] const bool whole = frame.AppendToString(&out);
    assert(whole);  // fails above 2 GiB only
  }
};

}  // namespace

const Codec& ProtoCodec() {
  static const Proto codec;
  return codec;
}

}  // namespace herald
