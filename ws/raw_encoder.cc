#include "ws/codec.h"

namespace herald {
namespace {

class Raw final : public MessageEncoder {
 public:
  void Encode(const Message& message, std::string& out) const override {
    const MessageBody& body = message.body();
    out.reserve(body.payload.size() + 10);
    AppendFrameHeader(body.kind == PayloadKind::kBytes ? Opcode::kBinary : Opcode::kText,
                      body.payload.size(), out);
    out += body.payload;
  }
};

}  // namespace

const MessageEncoder& RawEncoder() {
  static const Raw encoder;
  return encoder;
}

Encoders AllEncoders(const FrameCompressor* compressor) {
  return {{&RawEncoder(), &JsonCodec(), &ProtoCodec()}, compressor};
}

}  // namespace herald
