#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/session/node.h"
#include "ws/codec.h"

namespace herald {
namespace {

using namespace std::string_literals;

TEST(ProtoCodecTest, ReadsEveryKindOfFrame) {
  v1::ClientFrame frames[8];
  frames[0].mutable_connect()->set_token("t");
  (*frames[0].mutable_connect()->mutable_labels())["a"] = "b";
  frames[1].mutable_subscribe()->set_topic("t");
  frames[2].mutable_unsubscribe()->set_topic("t");
  frames[3].mutable_publish()->set_data("{ }");
  frames[4].mutable_message()->set_bytes("\0\xff"s);
  (*frames[5].mutable_ack()->mutable_offsets())["t"] = 17;
  frames[6].mutable_refresh()->set_token("t");
  frames[7].mutable_ping();
  for (v1::ClientFrame& frame : frames) {
    frame.set_id(9);
    v1::ClientFrame read;
    ASSERT_TRUE(ProtoCodec().Decode(frame.SerializeAsString(), {}, read).ok());
    EXPECT_EQ(read.SerializeAsString(), frame.SerializeAsString());
  }
}

TEST(ProtoCodecTest, RefusesWhatIsNotAFrame) {
  v1::ClientFrame frame;
  for (const std::string& bytes :
       {"\xff"s, "\x12\x05"s, "{\"ping\":{}}"s, "\x1a\x03\x0a\x01\xff"s /* not UTF-8 */}) {
    EXPECT_EQ(ProtoCodec().Decode(bytes, {}, frame).code(), absl::StatusCode::kInvalidArgument);
  }
}

// The same as an empty JSON object; a newer client's kind looks the same.
TEST(ProtoCodecTest, AFrameWithoutAKnownKindHasNone) {
  v1::ClientFrame frame;
  ASSERT_TRUE(ProtoCodec().Decode("", {}, frame).ok());
  EXPECT_EQ(frame.kind_case(), v1::ClientFrame::KIND_NOT_SET);
  ASSERT_TRUE(ProtoCodec().Decode("\xfa\x06\x00"s, {}, frame).ok());  // field 111, empty
  EXPECT_EQ(frame.kind_case(), v1::ClientFrame::KIND_NOT_SET);
}

v1::ServerMessage Encoded(MessageBody body, std::string topic, Position position) {
  std::string out;
  ProtoCodec().Encode(Message(*AcceptMessage(std::move(body), 1 << 20), std::move(topic), position),
                      out);
  EXPECT_EQ(static_cast<unsigned char>(out[0]), 0x82);
  v1::ServerFrame frame;
  EXPECT_TRUE(frame.ParseFromString(PayloadsOf(out).at(0)));
  return frame.message();
}

TEST(ProtoCodecTest, WritesAMessage) {
  MessageBody body;
  body.id = "i";
  body.event = "e";
  body.sender = "s";
  body.payload = "{ \"a\" : 1 }";
  body.accepted_unix_ms = 1'800'000'000'123;
  body.attributes = {{"k", "v"}};
  const Position position{1, 17, 3};
  const v1::ServerMessage message = Encoded(body, "t", position);
  EXPECT_EQ(message.topic(), "t");
  EXPECT_EQ(message.offset(), 17u);
  EXPECT_EQ(message.position(), position.ToToken());
  EXPECT_EQ(message.id(), "i");
  EXPECT_EQ(message.event(), "e");
  EXPECT_EQ(message.sender(), "s");
  EXPECT_EQ(message.time().seconds(), 1'800'000'000);
  EXPECT_EQ(message.time().nanos(), 123'000'000);
  EXPECT_EQ(message.attributes().at("k"), "v");
  EXPECT_EQ(message.data(), "{ \"a\" : 1 }");
}

TEST(ProtoCodecTest, WritesPayloadsByTheirKind) {
  MessageBody body;
  body.payload = "text";
  EXPECT_EQ(Encoded(body, "", {}).text(), "text");
  body.payload = "\xff";
  EXPECT_EQ(Encoded(body, "", {}).bytes(), "\xff");
  body.payload.assign(70'000, '\xff');
  EXPECT_EQ(Encoded(body, "", {}).bytes().size(), 70'000u);
}

std::string ErrorOf(const std::string& bytes) {
  v1::ClientFrame frame;
  const absl::Status status = ProtoCodec().Decode(bytes, {}, frame);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(frame.kind_case(), v1::ClientFrame::KIND_NOT_SET) << "parsed before it was counted";
  return std::string(status.message());
}

TEST(ProtoCodecTest, G8ListsStopAtTheirLimits) {
  v1::ClientFrame frame, read;
  for (int i = 0; i < 130; ++i) frame.mutable_connect()->add_resume();
  for (int i = 0; i < 32; ++i) (*frame.mutable_connect()->mutable_labels())[fmt::format("l{}", i)];
  frame.mutable_connect()->set_token("t");
  ASSERT_TRUE(ProtoCodec().Decode(frame.SerializeAsString(), {}, read).ok());
  v1::ClientFrame more = frame;
  more.mutable_connect()->add_resume();
  EXPECT_EQ(ErrorOf(more.SerializeAsString()), "`resume` has more than 130 topics");
  more = frame;
  (*more.mutable_connect()->mutable_labels())["one more"];
  EXPECT_EQ(ErrorOf(more.SerializeAsString()), "`labels` has more than 32 entries");
  more.Clear();
  for (int i = 0; i < 131; ++i) (*more.mutable_ack()->mutable_offsets())[fmt::format("t{}", i)] = 1;
  EXPECT_EQ(ErrorOf(more.SerializeAsString()), "`ack` has more than 130 topics");
}

// A frame may say `connect` many times, and a field too: the last one counts, so none may be free.
TEST(ProtoCodecTest, G8FieldsAreCountedHoweverTheyAreSpread) {
  std::string bytes;
  for (int i = 0; i < 131; ++i) bytes += "\x12\x02\x1a\x00"s;  // connect { resume {} }
  EXPECT_EQ(ErrorOf(bytes), "the frame has more than 32 fields");
  bytes = "\x12\x80\x02"s;                             // connect, 256 bytes
  for (int i = 0; i < 128; ++i) bytes += "\x78\x01"s;  // field 15, unknown
  EXPECT_EQ(ErrorOf(bytes), "the frame has more than 32 fields");
  EXPECT_EQ(ErrorOf("\x7b\x7c"s), "not a ClientFrame");  // a group
}

TEST(ProtoCodecTest, WritesTheOtherFrames) {
  v1::ServerFrame frame;
  frame.mutable_reply()->set_id(7);
  const FramePtr encoded = ProtoCodec().EncodeFrame(frame);
  EXPECT_EQ(encoded->messages, 0u);
  EXPECT_EQ(PayloadsOf(encoded->bytes).at(0), frame.SerializeAsString());
}

TEST(RawEncoderTest, WritesThePayloadAlone) {
  const auto encode = [](std::string payload, std::string content_type = "") {
    MessageBody body;
    body.payload = std::move(payload);
    body.content_type = std::move(content_type);
    std::string out;
    RawEncoder().Encode(Message(*AcceptMessage(std::move(body), 1 << 20), "t", {1, 2, 3}), out);
    return out;
  };
  EXPECT_EQ(encode("{}"), "\x81\x02{}");
  EXPECT_EQ(encode("hi"), "\x81\x02hi");
  EXPECT_EQ(encode("\xff"), "\x82\x01\xff");
  EXPECT_EQ(encode("hi", "application/octet-stream"), "\x82\x02hi");
  EXPECT_EQ(encode("\xff", "text/plain"), "\x82\x01\xff");  // text frames must be UTF-8
}

}  // namespace
}  // namespace herald
