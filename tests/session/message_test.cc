#include "session/message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/time/clock.h"

namespace herald {
namespace {

using ::testing::HasSubstr;

MessageBody Good() {
  MessageBody body;
  body.payload = "{}";
  return body;
}

std::string Error(MessageBody body, std::size_t max_payload_bytes = 100) {
  const auto accepted = AcceptMessage(std::move(body), max_payload_bytes);
  EXPECT_EQ(accepted.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(accepted.status().message());
}

TEST(AcceptMessageTest, FillsInWhatIsMissing) {
  const auto before = absl::ToUnixMillis(absl::Now());
  const auto body = AcceptMessage(Good(), 100);
  ASSERT_TRUE(body.ok());
  EXPECT_FALSE((*body)->id.empty());
  EXPECT_GE((*body)->accepted_unix_ms, before);
  EXPECT_EQ((*body)->content_type, "application/json");
  EXPECT_EQ((*body)->kind, PayloadKind::kJson);
  EXPECT_NE((*body)->id, (*AcceptMessage(Good(), 100))->id);
}

TEST(AcceptMessageTest, KeepsWhatIsGiven) {
  MessageBody body = Good();
  body.id = "mine";
  body.accepted_unix_ms = 7;
  body.content_type = "text/plain";
  body.attributes = {{"k", "v"}};
  const auto accepted = AcceptMessage(body, 100);
  ASSERT_TRUE(accepted.ok());
  EXPECT_EQ((*accepted)->id, "mine");
  EXPECT_EQ((*accepted)->accepted_unix_ms, 7);
  EXPECT_EQ((*accepted)->kind, PayloadKind::kText);
  EXPECT_EQ((*accepted)->attributes, body.attributes);
}

TEST(AcceptMessageTest, TakesEachFieldUpToItsLimit) {
  MessageBody body;
  body.payload.assign(100, 'x');
  body.id.assign(kMaxMessageIdBytes, 'x');
  body.event.assign(kMaxEventBytes, 'x');
  body.content_type.assign(kMaxContentTypeBytes, 'x');
  for (std::size_t i = 0; i < kMaxAttributes; ++i) {
    std::string key = std::to_string(i);
    key.resize(kMaxAttributeBytes, 'k');
    body.attributes.emplace_back(key, std::string(kMaxAttributeBytes, 'v'));
  }
  EXPECT_TRUE(AcceptMessage(body, 100).ok());
}

TEST(AcceptMessageTest, NamesTheFieldThatIsTooLong) {
  MessageBody body = Good();
  body.payload.assign(101, 'x');
  EXPECT_EQ(Error(body), "message.payload is 101 bytes, over the limit of 100");
  body = Good();
  body.id.assign(kMaxMessageIdBytes + 1, 'x');
  EXPECT_EQ(Error(body), "message.id is 129 bytes, over the limit of 128");
  body = Good();
  body.event.assign(kMaxEventBytes + 1, 'x');
  EXPECT_EQ(Error(body), "message.event is 256 bytes, over the limit of 255");
  body = Good();
  body.content_type.assign(kMaxContentTypeBytes + 1, 'x');
  EXPECT_EQ(Error(body), "message.content_type is 128 bytes, over the limit of 127");
  body = Good();
  body.attributes.assign(kMaxAttributes + 1, {"k", "v"});
  EXPECT_EQ(Error(body), "message.attributes has 33 entries, over the limit of 32");
  body = Good();
  body.attributes = {{std::string(kMaxAttributeBytes + 1, 'k'), "v"}};
  EXPECT_EQ(Error(body), "message.attributes is 1025 bytes, over the limit of 1024");
  body.attributes = {{"k", std::string(kMaxAttributeBytes + 1, 'v')}};
  EXPECT_EQ(Error(body), "message.attributes is 1025 bytes, over the limit of 1024");
}

// All of these stand in text frames.
TEST(AcceptMessageTest, RefusesFieldsThatAreNotUtf8) {
  MessageBody body = Good();
  body.id = "\xff";
  EXPECT_THAT(Error(body), HasSubstr("message.id"));
  body = Good();
  body.event = "\xff";
  EXPECT_THAT(Error(body), HasSubstr("message.event"));
  body = Good();
  body.content_type = "\xff";
  EXPECT_THAT(Error(body), HasSubstr("message.content_type"));
  body = Good();
  body.attributes = {{"\xff", "v"}};
  EXPECT_THAT(Error(body), HasSubstr("message.attributes"));
  body.attributes = {{"k", "\xff"}};
  EXPECT_THAT(Error(body), HasSubstr("message.attributes"));
  body.attributes = {{"", "v"}};
  EXPECT_THAT(Error(body), HasSubstr("empty key"));
}

TEST(AcceptMessageTest, RefusesJsonThatIsNone) {
  MessageBody body;
  body.payload = "nope";
  body.content_type = "application/json";
  EXPECT_EQ(Error(body),
            "message.payload is not valid JSON, but message.content_type says application/json");
}

class CountingEncoder final : public MessageEncoder {
 public:
  void Encode(const Message& message, std::string& out) const override {
    ++calls;
    out = message.body().payload;
  }
  mutable std::atomic<int> calls{0};
};

TEST(MessageTest, IsEncodedOnceAProtocolHoweverManyAsk) {
  const CountingEncoder raw, json, proto;
  const Encoders encoders{{&raw, &json, &proto}};
  const Message message(*AcceptMessage(Good(), 100), "topic", {});
  std::vector<std::thread> threads;
  std::array<const Frame*, 4> frames{};
  for (auto& frame : frames) {
    threads.emplace_back([&] { frame = message.EncodedFor(Protocol::kJson, encoders).get(); });
  }
  for (std::thread& thread : threads) thread.join();
  message.EncodedFor(Protocol::kRaw, encoders);
  EXPECT_THAT(frames, ::testing::Each(frames[0]));
  EXPECT_EQ(frames[0]->bytes, "{}");
  EXPECT_EQ(frames[0]->messages, 1u);
  EXPECT_EQ(json.calls, 1);
  EXPECT_EQ(raw.calls, 1);
  EXPECT_EQ(proto.calls, 0);
}

// Takes the first byte off what has two or more.
class CountingCompressor final : public FrameCompressor {
 public:
  bool Compress(std::string_view frame, std::string& out) const override {
    ++calls;
    if (frame.size() >= 2) out = frame.substr(1);
    return frame.size() >= 2;
  }
  mutable std::atomic<int> calls{0};
};

TEST(MessageTest, IsCompressedOnceAProtocolHoweverManyAsk) {
  const CountingEncoder raw, json, proto;
  const CountingCompressor compressor;
  const Encoders encoders{{&raw, &json, &proto}, &compressor};
  const Message message(*AcceptMessage(Good(), 100), "topic", {});
  std::vector<std::thread> threads;
  std::array<const Frame*, 4> frames{};
  for (auto& frame : frames) {
    threads.emplace_back(
        [&] { frame = message.EncodedFor({Protocol::kJson, true}, encoders).get(); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(frames, ::testing::Each(frames[0]));
  EXPECT_EQ(frames[0]->bytes, "}");
  EXPECT_EQ(frames[0]->messages, 1u);
  const FramePtr& plain = message.EncodedFor(Protocol::kJson, encoders);
  EXPECT_EQ(plain->bytes, "{}");
  EXPECT_EQ(frames[0]->topic, plain->topic);
  EXPECT_EQ(json.calls, 1);
  EXPECT_EQ(compressor.calls, 1);
  message.EncodedFor({Protocol::kRaw, true}, encoders);
  EXPECT_EQ(compressor.calls, 2);
}

TEST(MessageTest, SharesThePlainFrameIfItDoesNotShrink) {
  const CountingEncoder encoder;
  const CountingCompressor compressor;
  const Encoders encoders{{&encoder, &encoder, &encoder}, &compressor};
  MessageBody body = Good();
  body.payload = "1";
  const Message message(*AcceptMessage(body, 100), "topic", {});
  const FramePtr& compressed = message.EncodedFor({Protocol::kJson, true}, encoders);
  EXPECT_EQ(compressed, message.EncodedFor(Protocol::kJson, encoders));
  EXPECT_EQ(message.EncodedFor({Protocol::kJson, true}, encoders), compressed);
  EXPECT_EQ(compressor.calls, 1);
  EXPECT_EQ(encoder.calls, 1);
}

TEST(MessageTest, KnowsWhatItCostsToKeep) {
  MessageBody body = Good();
  body.payload.assign(1000, 'x');
  const Message small(*AcceptMessage(Good(), 1000), "t", {});
  const Message big(*AcceptMessage(body, 1000), "t", {});
  EXPECT_EQ(big.size_bytes() - small.size_bytes(), 1996u);
}

}  // namespace
}  // namespace herald
