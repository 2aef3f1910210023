// permessage-deflate on real sockets: what is negotiated, what goes out, what may come in.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "session/random.h"
#include "tests/ws/server.h"
#include "tests/ws/wire.h"
#include "tests/ws/zlib_text.h"
#include "ws/inflate.h"

namespace herald {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using namespace std::string_literals;

constexpr int kText = 0x81, kCompressedText = 0xc1, kBinary = 0x82, kCompressedBinary = 0xc2;

struct GotFrame {
  int first = -1;  // byte of the frame: FIN, RSV, opcode; -1: the connection ended
  std::string wire, payload;
};

// A client that speaks frame by frame, of whatever subprotocol.
class DeflateClient {
 public:
  DeflateClient(Server& server, const std::string& subprotocol, const std::string& offer,
                const std::string& target = "/ws", const std::string& behind = "")
      : socket_(server.port()) {
    std::map<std::string, std::string> headers;
    if (!offer.empty()) headers["Sec-WebSocket-Extensions"] = offer;
    EXPECT_TRUE(socket_.Send(UpgradeText(subprotocol, target, headers) + behind));
    answer = socket_.ReadUntil("\r\n\r\n");
    EXPECT_THAT(answer, HasSubstr(" 101 "));
  }
  // Past `connect` and `hello`, which is plain.
  static DeflateClient Open(Server& server, const std::string& target = "/ws",
                            const std::string& offer = "permessage-deflate") {
    DeflateClient client(server, "herald.v1.json", offer, target);
    client.Send(kText, R"({"connect":{}})");
    const GotFrame hello = client.Read();
    EXPECT_EQ(hello.first, kText);
    EXPECT_THAT(hello.payload, HasSubstr("hello"));
    return client;
  }

  void Send(int first, std::string_view payload) {
    EXPECT_TRUE(socket_.Send(ClientFrame(static_cast<std::uint8_t>(first), payload)));
  }
  void SendBytes(const std::string& bytes) { EXPECT_TRUE(socket_.Send(bytes)); }

  GotFrame Read() {
    const std::string head = socket_.ReadExactly(2);
    if (head.size() < 2) return {};
    std::size_t size = static_cast<unsigned char>(head[1]);
    if (size >= 126) {
      const std::string length = socket_.ReadExactly(size == 126 ? 2 : 8);
      size = 0;
      for (char c : length) size = size << 8 | static_cast<unsigned char>(c);
    }
    GotFrame frame{static_cast<unsigned char>(head[0]), socket_.ReadExactly(size), ""};
    frame.payload = frame.wire;
    if ((frame.first & 0x40) != 0) {
      frame.payload.clear();
      EXPECT_TRUE(Inflate(frame.wire, 1 << 24, frame.payload).ok());
    }
    return frame;
  }
  int ReadCloseCode() {
    for (;;) {
      const GotFrame frame = Read();
      if (frame.first == -1) return 1006;
      if (frame.first != 0x88) continue;
      return static_cast<unsigned char>(frame.payload[0]) << 8 |
             static_cast<unsigned char>(frame.payload[1]);
    }
  }
  // True if a frame is answered: the session lives.
  bool Answers() {
    Send(kText, R"({"id":99,"ping":{}})");
    Read();
    return Read().payload == R"({"reply":{"id":99,"ok":{}}})";
  }

  std::string answer;

 private:
  RawSocket socket_;
};

class CompressionTest : public ::testing::Test {
 protected:
  static FrontEndOptions Options(const SharedDeflate* deflate) {
    FrontEndOptions options = DevOptions();
    options.deflate = deflate;
    return options;
  }
  static std::string Json(std::size_t size) {
    return R"({"text":")" + std::string(size, 'x') + "\"}";
  }
  void Publish(const std::string& topic, const std::string& payload) {
    ASSERT_TRUE(server_.node().Publish(topic, payload).ok());
  }

  const SharedDeflate deflate_{200};
  Server server_{Options(&deflate_)};
};

TEST_F(CompressionTest, SessionsThatNegotiatedAndOthersGetTheSameInOrder) {
  const std::string offer = "permessage-deflate; client_max_window_bits";
  auto one = DeflateClient::Open(server_, "/ws?topics=a", offer);
  auto two = DeflateClient::Open(server_, "/ws?topics=a", offer);
  auto plain = DeflateClient::Open(server_, "/ws?topics=a", "");
  EXPECT_THAT(one.answer, HasSubstr("\r\nSec-WebSocket-Extensions: permessage-deflate; "
                                    "server_no_context_takeover; client_no_context_takeover\r\n"));
  EXPECT_THAT(plain.answer, Not(HasSubstr("Extensions")));
  for (int i = 0; i < 100; ++i) Publish("a", Json(i % 2 ? 1000 : 10));
  for (int i = 0; i < 100; ++i) {
    const GotFrame expected = plain.Read();
    EXPECT_EQ(expected.first, kText);
    EXPECT_THAT(expected.payload, HasSubstr("\"offset\":\"" + std::to_string(i + 1) + '"'));
    for (DeflateClient* client : {&one, &two}) {
      const GotFrame got = client->Read();
      EXPECT_EQ(got.first, i % 2 ? kCompressedText : kText);
      EXPECT_EQ(got.payload, expected.payload);
      if (i % 2) {
        EXPECT_LT(got.wire.size(), 400u);
      }
    }
  }
  EXPECT_EQ(deflate_.counts().frames, 50u) << "once, not once a session";
}

TEST_F(CompressionTest, OfAllSubprotocolsEachByItself) {
  DeflateClient raw(server_, "", "permessage-deflate", "/ws?topics=a");
  DeflateClient proto(server_, "herald.v1.proto", "permessage-deflate", "/ws?topics=a");
  proto.Send(kBinary, "\x12\x00"s);  // connect {}
  EXPECT_EQ(proto.Read().first, kBinary);
  auto json = DeflateClient::Open(server_, "/ws?topics=a");
  server_.node().Settle();
  Publish("a", std::string(500, 'x'));
  Publish("a", std::string(500, '\xff'));
  const GotFrame text = raw.Read(), bytes = raw.Read();
  EXPECT_EQ(text.first, kCompressedText);
  EXPECT_EQ(text.payload, std::string(500, 'x'));
  EXPECT_EQ(proto.Read().first, kCompressedBinary);
  EXPECT_EQ(json.Read().first, kCompressedText);
  // Whatever the test's broker makes of bytes that are not UTF-8, raw sessions see them as bytes.
  EXPECT_EQ(bytes.first, kCompressedBinary);
  EXPECT_EQ(bytes.payload, std::string(500, '\xff'));
}

TEST_F(CompressionTest, IsDeclinedWhereSharedFramesCouldNotBeRead) {
  for (const char* offer : {"permessage-deflate; server_max_window_bits=8",
                            "permessage-deflate; server_max_window_bits=11"}) {
    auto client = DeflateClient::Open(server_, "/ws?topics=a", offer);
    EXPECT_THAT(client.answer, Not(HasSubstr("Extensions"))) << offer;
    Publish("a", Json(1000));
    EXPECT_EQ(client.Read().first, kText) << offer;
    client.Send(kCompressedText, Deflated("{}"));
    EXPECT_EQ(client.ReadCloseCode(), 1002) << offer;
  }
  auto client =
      DeflateClient::Open(server_, "/ws?topics=a", "permessage-deflate; server_max_window_bits=12");
  EXPECT_THAT(client.answer, HasSubstr("; server_max_window_bits=12\r\n"));
  Publish("a", Json(1000));
  EXPECT_EQ(client.Read().first, kCompressedText);
  EXPECT_EQ(deflate_.counts().frames, 1u);
}

TEST_F(CompressionTest, ResumesWithCompressedFramesToo) {
  auto first = DeflateClient::Open(server_, "/ws?topics=a");
  Publish("a", Json(10));
  const std::string message = first.Read().payload;
  const auto position = boost::json::parse(message).at("message").at("position").as_string();
  for (int i = 0; i < 3; ++i) Publish("a", Json(1000));
  DeflateClient again(server_, "herald.v1.json", "permessage-deflate");
  again.Send(kText, R"({"connect":{"resume":[{"topic":"a","position":")" + std::string(position) +
                        R"("}]}})");
  EXPECT_THAT(again.Read().payload, HasSubstr(R"("recovered":true)"));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(again.Read().first, kCompressedText);
  EXPECT_EQ(deflate_.counts().frames, 3u);
}

// --- what clients send ---

TEST_F(CompressionTest, ReadsCompressedFramesOfAllShapes) {
  // Behind the request's header, compressed.
  DeflateClient client(server_, "herald.v1.json", "permessage-deflate", "/ws?topics=a",
                       ClientFrame(0xc1, Deflated(R"({"connect":{}})")));
  EXPECT_THAT(client.Read().payload, HasSubstr("hello"));
  EXPECT_TRUE(client.Answers());
  // In parts, with a ping between them.
  const std::string whole = Deflated(R"({"id":1,"ping":{}})");
  client.Send(0x41, whole.substr(0, 3));
  client.Send(0x00, whole.substr(3, 5));
  client.Send(0x89, "ping");
  client.Send(0x80, whole.substr(8));
  EXPECT_EQ(client.Read().payload, "ping");
  EXPECT_EQ(client.Read().payload, R"({"pong":{}})");
  EXPECT_EQ(client.Read().payload, R"({"reply":{"id":1,"ok":{}}})");
  // Many at once, plain ones among them.
  std::string burst;
  for (int i = 2; i < 60; ++i) {
    const std::string frame = R"({"id":)" + std::to_string(i) + R"(,"subscribe":{"topic":"a"}})";
    burst += i % 3 == 0 ? ClientFrame(0x81, frame) : ClientFrame(0xc1, Deflated(frame));
  }
  client.SendBytes(burst);
  for (int i = 2; i < 60; ++i)
    EXPECT_THAT(client.Read().payload, HasSubstr("\"id\":" + std::to_string(i) + ','));
  // One as large as may be, and which does not shrink.
  std::string noise;
  while (noise.size() < 60'000) noise += static_cast<char>('!' + RandomUint64() % 90);
  for (char& c : noise) {
    if (c == '"' || c == '\\') c = ' ';
  }
  client.Send(kCompressedText,
              Deflated(R"({"id":60,"publish":{"topic":"b","text":")" + noise + "\"}}", 9, 1));
  EXPECT_THAT(client.Read().payload, HasSubstr("\"id\":60,\"ok\""));
}

// Beast 1.81 would lose its place after such messages (boostorg/beast#3028), which we do not use to
// inflate.
TEST_F(CompressionTest, ReadsRepetitiveFramesOfEverySize) {
  FrontEndOptions options = Options(&deflate_);
  options.limits.inbound_messages_per_second = 1'000'000;
  options.limits.inbound_bytes_per_second = 0;
  Server server(std::move(options));
  auto client = DeflateClient::Open(server);
  for (int size = 3000; size < 50'000; size += 211) {
    client.Send(kCompressedText,
                Deflated(R"({"id":1,"publish":{"topic":"b","text":")" +
                         std::string(static_cast<std::size_t>(size), 'x') + "\"}}"));
    ASSERT_THAT(client.Read().payload, HasSubstr("\"id\":1,\"ok\"")) << size;
  }
}

TEST_F(CompressionTest, RawSessionsSendCompressedToo) {
  DeflateClient raw(server_, "", "permessage-deflate");
  raw.Send(kCompressedText, Deflated("text"));
  raw.Send(kCompressedBinary, Deflated("bytes"));
  EventPtr event = server_.NextEvent(EventKind::kClientMessage);
  ASSERT_NE(event, nullptr);
  EXPECT_EQ(event->payload, "text");
  EXPECT_EQ(event->content_type, "text/plain");
  event = server_.NextEvent(EventKind::kClientMessage);
  ASSERT_NE(event, nullptr);
  EXPECT_EQ(event->payload, "bytes");
  EXPECT_EQ(event->content_type, "application/octet-stream");
  // As long as may be, and longer when compressed.
  std::string noise;
  while (noise.size() < 65'536) noise += static_cast<char>(RandomUint64());
  const std::string grown = Deflated(noise, 9, 1);
  EXPECT_GT(grown.size(), noise.size());
  raw.Send(kCompressedBinary, grown);
  event = server_.NextEvent(EventKind::kClientMessage);
  ASSERT_NE(event, nullptr);
  EXPECT_EQ(event->payload, noise);
}

TEST_F(CompressionTest, ClosesABombInNoTime) {
  const std::string bomb = Deflated(std::string(100'000'000, ' '));
  const std::string small = Deflated(std::string(10'000'000, ' '));
  const absl::Time began = absl::Now();
  for (const std::string& payload : {bomb, small}) {
    auto client = DeflateClient::Open(server_);
    client.Send(kCompressedText, payload);
    EXPECT_EQ(client.ReadCloseCode(), 1009) << payload.size();
  }
  {
    DeflateClient raw(server_, "", "permessage-deflate");
    raw.Send(kCompressedText, Deflated(std::string(65'537, 'x')));
    EXPECT_EQ(raw.ReadCloseCode(), 1009) << "one byte too many";
    DeflateClient plain(server_, "", "permessage-deflate");
    plain.Send(kText, std::string(65'537, 'x'));
    EXPECT_EQ(plain.ReadCloseCode(), 1009) << "the room that deflate may need is not for others";
  }
  DeflateClient raw(server_, "", "permessage-deflate");
  raw.Send(kCompressedText, Deflated(std::string(65'536, 'x')));
  const EventPtr event = server_.NextEvent(EventKind::kClientMessage);
  ASSERT_NE(event, nullptr);
  EXPECT_EQ(event->payload.size(), 65'536u);
  EXPECT_LT(absl::Now() - began, absl::Seconds(5));
}

TEST_F(CompressionTest, ClosesForWhatIsBroken) {
  const std::vector<std::tuple<int, std::string, int>> cases = {
      {kCompressedText, "\xff\xff\xff", 1007},
      {kCompressedText, Deflated("{\"ping\":{}}").substr(0, 5), 1007},
      {kCompressedText, Deflated("\xff\xfe"), 1007},         // not UTF-8
      {kCompressedBinary, Deflated("{\"ping\":{}}"), 1003},  // JSON comes as text
      {0xe1, Deflated("{}"), 1002},                          // RSV2
      {0xc0, Deflated("{}"), 1002},                          // RSV1 on a continuation
      {0xc9, "", 1002},                                      // RSV1 on a ping
      {kCompressedText, Deflated("nonsense"), 4400},
  };
  for (const auto& [first, payload, code] : cases) {
    auto client = DeflateClient::Open(server_);
    client.Send(first, payload);
    EXPECT_EQ(client.ReadCloseCode(), code) << first;
  }
}

TEST_F(CompressionTest, ClosesForRsv1ThatWasNotNegotiated) {
  auto client = DeflateClient::Open(server_, "/ws", "");
  client.Send(kCompressedText, Deflated("{\"ping\":{}}"));
  EXPECT_EQ(client.ReadCloseCode(), 1002);
}

TEST(NoCompressionTest, IsTheDefault) {
  Server server;
  auto client = DeflateClient::Open(server, "/ws?topics=a");
  EXPECT_THAT(client.answer, Not(HasSubstr("Extensions")));
  ASSERT_TRUE(server.node().Publish("a", std::string(10'000, 'x')).ok());
  EXPECT_EQ(client.Read().first, kText);
  client.Send(kCompressedText, Deflated("{\"ping\":{}}"));
  EXPECT_EQ(client.ReadCloseCode(), 1002);
}

}  // namespace
}  // namespace herald
