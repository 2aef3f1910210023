#include "ws/codec.h"

namespace herald {
namespace {

class Proto final : public Codec {
 public:
  Opcode opcode() const override { return Opcode::kBinary; }

  absl::Status Decode(std::string_view data, v1::ClientFrame& frame) const override {
    if (!frame.ParseFromArray(data.data(), static_cast<int>(data.size()))) {
      return absl::InvalidArgumentError("not a ClientFrame");
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
    frame.AppendToString(&out);
  }
};

}  // namespace

const Codec& ProtoCodec() {
  static const Proto codec;
  return codec;
}

}  // namespace herald
