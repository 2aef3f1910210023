// What a client may send and have replayed in a second, and what happens past that.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/ws/server.h"
#include "tests/ws/wire.h"
#include "tests/ws/zlib_text.h"

namespace herald {
namespace {

using ::testing::HasSubstr;

FrontEndOptions Limited(std::uint32_t frames_per_second = 10) {
  FrontEndOptions options = DevOptions();
  options.limits.inbound_messages_per_second = frames_per_second;
  return options;
}

RawSocket Connected(Server& server, const std::string& target = "/ws") {
  RawSocket socket = Upgraded(server, target);
  EXPECT_TRUE(socket.Send(ClientFrame(0x81, R"({"connect":{}})")));
  EXPECT_THAT(ReadFrame(socket).payload, HasSubstr("hello"));
  return socket;
}

std::string Repeated(int count, const std::string& frame) {
  std::string frames;
  for (int i = 0; i < count; ++i) frames += frame;
  return frames;
}

std::uint64_t Counted(Server& server, RateReason reason) {
  return server.front_end().rate_limited[static_cast<int>(reason)];
}

// Sends a flood to a session of ten frames a second; it must be closed for `reason`.
void ExpectClosed(const std::string& flood, RateReason reason, const std::string& text,
                  FrontEndOptions options = Limited()) {
  Server server(std::move(options));
  RawSocket socket = Connected(server);
  socket.Send(flood);
  const ServerFrameBytes close = ReadCloseFrame(socket);
  EXPECT_EQ(close.close_code(), 4429);
  EXPECT_EQ(close.payload.substr(2), text);
  EXPECT_EQ(Counted(server, reason), 1u);
  socket.Reset();
  EXPECT_TRUE(server.WaitEmpty());
}

TEST(RatesTest, G10FragmentsAreFrames) {
  ExpectClosed(ClientFrame(0x01, "{") + Repeated(100, ClientFrame(0x00, " ")),
               RateReason::kSessionFrames, "more than 10 frames a second");
}

TEST(RatesTest, G10EmptyFragmentsAreFrames) {
  ExpectClosed(ClientFrame(0x01, "") + Repeated(100, ClientFrame(0x00, "")),
               RateReason::kSessionFrames, "more than 10 frames a second");
}

TEST(RatesTest, G10PongsAreFrames) {
  ExpectClosed(Repeated(100, ClientFrame(0x8a, "")), RateReason::kSessionFrames,
               "more than 10 frames a second");
}

TEST(RatesTest, G10PingsAreFramesAndPongsAreBounded) {
  Server server(Limited());
  RawSocket socket = Connected(server);
  socket.Send(Repeated(10'000, ClientFrame(0x89, "x")));
  int pongs = 0;
  ServerFrameBytes frame;
  while ((frame = ReadFrame(socket)).opcode == 10) ++pongs;
  EXPECT_EQ(frame.close_code(), 4429);
  EXPECT_LE(pongs, 20);
}

TEST(RatesTest, G10FramesWithinTheBurstAreAnswered) {
  Server server(Limited());
  RawSocket socket = Connected(server);
  // With `connect`, the twenty that may come at once.
  ASSERT_TRUE(socket.Send(ClientFrame(0x01, R"({"id":1,)") + Repeated(16, ClientFrame(0x00, " ")) +
                          ClientFrame(0x89, "x") + ClientFrame(0x80, R"("ping":{}})")));
  EXPECT_EQ(ReadFrame(socket).opcode, 10);
  EXPECT_THAT(ReadFrame(socket).payload, HasSubstr("pong"));
  EXPECT_EQ(Counted(server, RateReason::kSessionFrames), 0u);
}

TEST(RatesTest, G10BytesAreCharged) {
  FrontEndOptions options = Limited(1'000'000);
  options.limits.inbound_bytes_per_second = 1;
  options.limits.max_message_bytes = 1024;  // a burst of 12 KiB or two messages
  const std::string message =
      ClientFrame(0x81, R"({"message":{"text":")" + std::string(1000, 'x') + "\"}}");
  ExpectClosed(Repeated(40, message), RateReason::kSessionBytes, "more than 1 bytes a second",
               std::move(options));
}

TEST(RatesTest, G10CompressedMessagesAreChargedInflated) {
  const SharedDeflate deflate(200);
  FrontEndOptions options = Limited(1'000'000);
  options.deflate = &deflate;
  options.limits.inbound_bytes_per_second = 100'000;
  Server server(std::move(options));
  RawSocket socket(server.port());
  ASSERT_TRUE(socket.Send(
      UpgradeText("herald.v1.json", "/ws", {{"Sec-WebSocket-Extensions", "permessage-deflate"}})));
  EXPECT_THAT(socket.ReadUntil("\r\n\r\n"), HasSubstr("permessage-deflate"));
  ASSERT_TRUE(socket.Send(ClientFrame(0x81, R"({"connect":{}})")));
  EXPECT_THAT(ReadFrame(socket).payload, HasSubstr("hello"));
  const std::string message =
      Deflated(R"({"message":{"text":")" + std::string(60'000, 'x') + "\"}}");
  EXPECT_LT(message.size(), 200u);
  socket.Send(Repeated(20, ClientFrame(0xc1, message)));
  EXPECT_EQ(ReadCloseFrame(socket).close_code(), 4429);
  EXPECT_EQ(Counted(server, RateReason::kSessionBytes), 1u);
}

TEST(RatesTest, G10AUserWhoReconnectsFindsTheBucketAsItWas) {
  FrontEndOptions options = Limited();
  options.limits.user_rate_multiple = 2;
  Server server(std::move(options));
  for (int i = 0; i < 10 && Counted(server, RateReason::kUserFrames) == 0; ++i) {
    RawSocket socket = Upgraded(server, "/ws?user=mallory");
    socket.Send(ClientFrame(0x81, R"({"connect":{}})") + Repeated(18, ClientFrame(0x8a, "")));
    (void)ReadFrame(socket);  // a hello, or the close frame
    socket.Reset();
    ASSERT_TRUE(server.WaitEmpty());
  }
  EXPECT_EQ(Counted(server, RateReason::kUserFrames), 1u) << "40 frames at once";
  EXPECT_EQ(Counted(server, RateReason::kSessionFrames), 0u);
  (void)Connected(server, "/ws?user=alice");
}

TEST(RatesTest, G10AnAddressThatSentTooMuchIsAnswered429) {
  FrontEndOptions options = Limited();
  options.limits.address_rate_multiple = 2;
  Server server(std::move(options));
  for (int i = 0; i < 10 && Counted(server, RateReason::kAddressFrames) == 0; ++i) {
    RawSocket socket(server.port());
    socket.Send(UpgradeText() + ClientFrame(0x81, R"({"connect":{}})") +
                Repeated(18, ClientFrame(0x8a, "")));
    const std::string answer = socket.ReadUntil("\r\n\r\n");
    if (answer.find(" 101 ") == std::string::npos) {
      EXPECT_THAT(answer, HasSubstr(" 429 "));
      EXPECT_THAT(answer, HasSubstr("Retry-After: "));
      EXPECT_THAT(*socket.ReadToEnd(), HasSubstr("more than 20 frames a second by this address"));
    }
    socket.Reset();
    ASSERT_TRUE(server.WaitEmpty());
  }
  EXPECT_EQ(Counted(server, RateReason::kAddressFrames), 1u);
}

// Replays of 50 KB against a burst of 128 KiB.
class ReplayTest : public ::testing::Test {
 protected:
  static FrontEndOptions Options() {
    FrontEndOptions options = DevOptions();
    options.limits.replay_bytes_per_second = 1;
    options.limits.max_outbound_bytes_per_session = 64 * kKiB;
    options.limits.user_rate_multiple = 2;
    return options;
  }
  // The position before five messages of 10 KB.
  std::string Fill(const std::string& topic) {
    JsonClient client = JsonClient::Open(server_);
    EXPECT_TRUE(server_.node().Publish(topic, "first").ok());
    const auto reply = client.Ask("subscribe", R"({"topic":")" + topic + "\"}");
    const std::string position(
        reply.at("ok").as_object().at("topic").as_object().at("position").as_string());
    for (int i = 0; i < 5; ++i)
      EXPECT_TRUE(server_.node().Publish(topic, std::string(10'000, 'x')).ok());
    return R"({"topic":")" + topic + R"(","position":")" + position + "\"}";
  }

  Server server_{Options()};
};

TEST_F(ReplayTest, G15ReplaysToASessionAreBounded) {
  const std::string from = Fill("t");
  JsonClient client = JsonClient::Open(server_);
  int replays = 0;
  for (;;) {
    const auto reply = client.Ask("subscribe", from);
    if (ErrorCode(reply) != "") {
      EXPECT_EQ(ErrorCode(reply), "RESOURCE_EXHAUSTED");
      break;
    }
    ASSERT_LT(++replays, 10);
    EXPECT_TRUE(client.Ask("unsubscribe", R"({"topic":"t"})").contains("ok"));
  }
  EXPECT_EQ(replays, 3) << "50 KB each of 128 KiB; the last one is owed";
  EXPECT_EQ(Counted(server_, RateReason::kSessionReplay), 1u);
  // The session goes on, and may subscribe from now on.
  EXPECT_TRUE(client.Subscribe("t"));
}

TEST_F(ReplayTest, G15ResumesOfAUserAreBounded) {
  const std::string resume = R"({"resume":[)" + Fill("t") + "]}";
  int replays = 0;
  for (; Counted(server_, RateReason::kUserReplay) == 0; ++replays) {
    ASSERT_LT(replays, 20);
    RawSocket socket = Upgraded(server_, "/ws?user=mallory");
    ASSERT_TRUE(socket.Send(ClientFrame(0x81, R"({"connect":)" + resume + "}")));
    const ServerFrameBytes frame = ReadFrame(socket);
    EXPECT_EQ(frame.close_code(), Counted(server_, RateReason::kUserReplay) == 0 ? 0 : 4429);
    socket.Reset();
    ASSERT_TRUE(server_.WaitEmpty());
  }
  EXPECT_EQ(replays, 7) << "50 KB each of 256 KiB, the sixth is owed; then one is refused";
  const JsonClient bob = JsonClient::Open(server_, "/ws?user=bob", resume);
  EXPECT_TRUE(bob.hello.at("topics").as_array().back().as_object().at("recovered").as_bool());
  (void)JsonClient::Open(server_, "/ws?user=mallory");  // without a position
}

}  // namespace
}  // namespace herald
