// The whole front-end with real sockets: what clients send, and what comes back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/time/clock.h"
#include "tests/ws/server.h"
#include "tests/ws/test_keys.h"
#include "ws/auth/token_minter.h"

namespace herald {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using namespace std::string_literals;
namespace json = boost::json;

const std::string kSecret = "0123456789abcdef0123456789abcdef";

std::string Text(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  return value == nullptr || !value->is_string() ? "" : std::string(value->as_string());
}

std::string ErrorCode(const json::object& reply) {
  return reply.contains("error") ? Text(reply.at("error").as_object(), "code") : "";
}

// The frames of a server on a raw socket, one by one: opcode and payload.
struct ServerFrameBytes {
  int opcode = -1;  // -1: the connection ended
  std::string payload;
  int close_code() const {
    return opcode == 8 && payload.size() >= 2 ? static_cast<unsigned char>(payload[0]) << 8 |
                                                    static_cast<unsigned char>(payload[1])
                                              : 0;
  }
};

ServerFrameBytes ReadFrame(RawSocket& socket) {
  const std::string head = socket.ReadExactly(2);
  if (head.size() < 2) return {};
  EXPECT_EQ(head[0] & 0x70, 0);     // no extension
  EXPECT_EQ(head[0] & 0x80, 0x80);  // not fragmented
  EXPECT_EQ(head[1] & 0x80, 0);     // not masked
  std::size_t size = static_cast<unsigned char>(head[1]);
  if (size >= 126) {
    const std::string length = socket.ReadExactly(size == 126 ? 2 : 8);
    size = 0;
    for (char c : length) size = size << 8 | static_cast<unsigned char>(c);
  }
  return {head[0] & 0x0f, socket.ReadExactly(size)};
}

ServerFrameBytes ReadCloseFrame(RawSocket& socket) {
  ServerFrameBytes frame;
  do frame = ReadFrame(socket);
  while (frame.opcode != 8 && frame.opcode != -1);
  return frame;
}

// A raw socket past its upgrade.
RawSocket Upgraded(Server& server, const std::string& target = "/ws", int receive_buffer = 0) {
  RawSocket socket(server.port(), receive_buffer);
  EXPECT_TRUE(socket.Send(UpgradeText("herald.v1.json", target)));
  EXPECT_THAT(socket.ReadUntil("\r\n\r\n"), HasSubstr(" 101 "));
  return socket;
}

// Publishes to busy topics until it goes.
class BusyPublisher {
 public:
  BusyPublisher(Server& server, std::vector<std::string> topics, std::size_t bytes)
      : thread_([&server, topics = std::move(topics), bytes](std::stop_token stop) {
          while (!stop.stop_requested()) {
            for (const std::string& topic : topics) {
              (void)server.node().Publish(topic, std::string(bytes, 'x'));
            }
          }
        }) {}

 private:
  std::jthread thread_;  // told to stop, and joined
};

// --- opening ---

TEST(FrontEndTest, GreetsWithAHello) {
  Server server;
  auto client = JsonClient::Open(server, "/ws?user=alice&topics=news");
  EXPECT_EQ(client.ws().subprotocol(), "herald.v1.json");
  const std::string session_id = client.session_id();
  const auto parsed = ParseSessionId(session_id);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->node, "node-1");
  EXPECT_EQ(Text(client.hello, "user_id"), "alice");
  EXPECT_EQ(Text(client.hello, "ping_interval"), "25s");
  EXPECT_EQ(Text(client.hello, "version"), HERALD_VERSION);
  EXPECT_EQ(Text(client.hello.at("limits").as_object(), "max_message_bytes"), "65536");
  std::vector<std::string> topics;
  for (const auto& topic : client.hello.at("topics").as_array())
    topics.push_back(Text(topic.as_object(), "topic"));
  EXPECT_THAT(topics, ElementsAre("$all", "$user/alice", "news"));
  const EventPtr opened = server.NextEvent(EventKind::kSessionOpened);
  ASSERT_NE(opened, nullptr);
  EXPECT_EQ(opened->session_id, client.session_id());
  EXPECT_EQ(opened->user_id, "alice");
}

TEST(FrontEndTest, KeepsTheClientsOwnLabelsApart) {
  Server server;
  auto client =
      JsonClient::Open(server, "/ws?labels=tier=gold", R"({"labels":{"tier":"platinum"}})");
  Awaited<std::vector<SessionInfo>> listed;
  server.node().table().List({}, listed.callback());
  const auto sessions = listed.Get();
  ASSERT_THAT(sessions, SizeIs(1));
  EXPECT_EQ(sessions[0].labels.Get("tier"), "gold");
  EXPECT_EQ(sessions[0].labels.Get("client/tier"), "platinum");
}

TEST(FrontEndTest, ReadsFramesThatCameBehindTheHeader) {
  Server server;
  RawSocket socket(server.port());
  ASSERT_TRUE(socket.Send(UpgradeText() + ClientFrame(0x81, R"({"connect":{}})") +
                          ClientFrame(0x81, R"({"id":7,"ping":{}})")));
  EXPECT_THAT(socket.ReadUntil("\r\n\r\n"), HasSubstr(" 101 "));
  EXPECT_THAT(ReadFrame(socket).payload, HasSubstr("hello"));
  EXPECT_EQ(ReadFrame(socket).payload, R"({"pong":{}})");
  EXPECT_EQ(ReadFrame(socket).payload, R"({"reply":{"id":7,"ok":{}}})");
}

// --- messages ---

TEST(FrontEndTest, RelaysToTheOthersAndNeverToTheSender) {
  Server server;
  auto alice = JsonClient::Open(server, "/ws?user=alice"),
       bob = JsonClient::Open(server, "/ws?user=bob");
  ASSERT_TRUE(alice.Subscribe("chat/1"));
  ASSERT_TRUE(bob.Subscribe("chat/1"));
  const auto reply =
      alice.Ask("publish", R"({"topic":"chat/1","event":"said","data":{"n": 1.50}})");
  ASSERT_TRUE(reply.contains("ok")) << json::serialize(reply);
  const auto message = bob.ReadKind("message");
  EXPECT_EQ(Text(message, "topic"), "chat/1");
  EXPECT_EQ(Text(message, "event"), "said");
  EXPECT_EQ(Text(message, "sender"), alice.session_id());
  EXPECT_EQ(Text(message, "offset"), "1");
  EXPECT_EQ(Text(message, "id"), Text(reply.at("ok").as_object(), "message_id"));
  EXPECT_EQ(message.at("data").at("n").as_double(), 1.5);
  server.node().Settle();
  EXPECT_TRUE(alice.Ask("ping", "{}").contains("ok"));
  for (const auto& frame : alice.others)
    EXPECT_FALSE(frame.contains("message")) << json::serialize(frame);
}

TEST(FrontEndTest, DeliversToUsersAndToAll) {
  Server server;
  auto alice = JsonClient::Open(server, "/ws?user=alice"),
       bob = JsonClient::Open(server, "/ws?user=bob");
  ASSERT_TRUE(server.node().Publish("$user/bob", "for bob").ok());
  EXPECT_EQ(Text(bob.ReadKind("message"), "text"), "for bob");
  ASSERT_TRUE(server.node().Publish("$all", "for all").ok());
  EXPECT_EQ(Text(bob.ReadKind("message"), "text"), "for all");
  EXPECT_EQ(Text(alice.ReadKind("message"), "text"), "for all");
}

TEST(FrontEndTest, UnsubscribingEndsTheMessages) {
  Server server;
  auto client = JsonClient::Open(server);
  ASSERT_TRUE(client.Subscribe("news"));
  ASSERT_TRUE(client.Subscribe("news"));  // again is no error
  EXPECT_TRUE(client.Ask("unsubscribe", R"({"topic":"news"})").contains("ok"));
  EXPECT_EQ(ErrorCode(client.Ask("unsubscribe", R"({"topic":"news"})")), "NOT_FOUND");
  EXPECT_EQ(server.node().Publish("news", "x")->matched, 0u);
}

TEST(FrontEndTest, ResumesWithExactlyWhatWasMissed) {
  Server server;
  std::string position;
  {
    auto client = JsonClient::Open(server);
    ASSERT_TRUE(client.Subscribe("news"));
    ASSERT_TRUE(server.node().Publish("news", "1").ok());
    position = Text(client.ReadKind("message"), "position");
    ASSERT_EQ(position.size(), 32u);
  }
  for (const char* text : {"2", "3"}) ASSERT_TRUE(server.node().Publish("news", text).ok());
  auto client = JsonClient::Open(
      server, "/ws", R"({"resume":[{"topic":"news","position":")" + position + R"("}]})");
  const auto& state = client.hello.at("topics").as_array().at(1).as_object();
  EXPECT_EQ(Text(state, "topic"), "news");
  EXPECT_TRUE(state.at("recovered").as_bool());
  ASSERT_TRUE(server.node().Publish("news", "4").ok());
  for (const char* text : {"2", "3", "4"})
    EXPECT_EQ(Text(client.ReadKind("message"), "text"), text);

  // The same with `subscribe`, and with a position that is none of this log's.
  auto other = JsonClient::Open(server);
  const auto reply = other.Ask("subscribe", R"({"topic":"news","position":")" + position + R"("})");
  EXPECT_TRUE(reply.at("ok").at("topic").at("recovered").as_bool());
  EXPECT_EQ(Text(other.ReadKind("message"), "text"), "2");
  Position foreign = *Position::FromToken(position);
  foreign.epoch ^= 2;
  auto third = JsonClient::Open(server);
  const auto lost =
      third.Ask("subscribe", R"({"topic":"news","position":")" + foreign.ToToken() + R"("})")
          .at("ok")
          .at("topic");
  EXPECT_FALSE(lost.at("recovered").as_bool());
  EXPECT_EQ(lost.at("reason").as_string(), "epoch");
}

TEST(FrontEndTest, TellsTheWatchersWhatClientsSay) {
  Server server;
  auto client = JsonClient::Open(server, "/ws?user=alice");
  EXPECT_TRUE(
      client.Ask("message", R"({"event":"click","topic":"ui","data":{"x":1}})").contains("ok"));
  const EventPtr event = server.NextEvent(EventKind::kClientMessage);
  ASSERT_NE(event, nullptr);
  EXPECT_EQ(event->session_id, client.session_id());
  EXPECT_EQ(event->user_id, "alice");
  EXPECT_EQ(event->event, "click");
  EXPECT_EQ(event->topic, "ui");
  EXPECT_EQ(event->payload, R"({"x":1})");
  EXPECT_EQ(event->content_type, "application/json");
}

TEST(FrontEndTest, AnswersErrorsAndStaysOpen) {
  Server server;
  auto client = JsonClient::Open(server);
  EXPECT_EQ(ErrorCode(client.Ask("subscribe", R"({"topic":""})")), "INVALID_ARGUMENT");
  EXPECT_EQ(ErrorCode(client.Ask("subscribe", R"({"topic":"$all"})")), "INVALID_ARGUMENT");
  EXPECT_EQ(ErrorCode(client.Ask("subscribe", R"({"topic":"a","position":"x"})")),
            "INVALID_ARGUMENT");
  EXPECT_EQ(ErrorCode(client.Ask("publish", R"({"topic":"$user/bob","text":"x"})")),
            "INVALID_ARGUMENT");
  EXPECT_EQ(ErrorCode(client.Ask("publish", R"({"topic":"a","data":[1,]})")), "INVALID_ARGUMENT");
  EXPECT_EQ(
      ErrorCode(client.Ask("publish", R"({"topic":"a","event":")" + std::string(256, 'x') + "\"}")),
      "INVALID_ARGUMENT");
  EXPECT_EQ(ErrorCode(client.Ask("refresh", R"({"token":"x"})")), "FAILED_PRECONDITION");
  client.Send(R"({"subscribe":{"topic":""}})");  // without an id: no answer
  EXPECT_TRUE(client.Ask("ping", "{}").contains("ok"));
  ASSERT_THAT(client.others, SizeIs(1));
  EXPECT_TRUE(client.others[0].contains("pong"));
}

TEST(FrontEndTest, LimitsTheTopicsOfASession) {
  FrontEndOptions options = DevOptions();
  options.limits.max_topics_per_session = 2;
  Server server(std::move(options));
  auto client = JsonClient::Open(server);
  EXPECT_TRUE(client.Subscribe("a"));
  EXPECT_TRUE(client.Subscribe("b"));
  EXPECT_EQ(ErrorCode(client.Ask("subscribe", R"({"topic":"c"})")), "RESOURCE_EXHAUSTED");
}

// --- other subprotocols ---

TEST(FrontEndTest, RawIsJustPayloads) {
  Server server;
  auto client =
      WsClient::Connect(server.port(), {.subprotocol = "", .target = "/ws?user=alice&topics=news"});
  ASSERT_NE(client, nullptr);
  EXPECT_EQ(client->subprotocol(), "");
  ASSERT_NE(server.NextEvent(EventKind::kSubscribed), nullptr);
  ASSERT_TRUE(server.node().Publish("news", "hello").ok());
  EXPECT_EQ(client->Read(), "hello");
  EXPECT_TRUE(client->got_text());
  MessageBody bytes;
  bytes.payload = "\xff\x00"s;
  ASSERT_TRUE(
      server.node().Publish({*AcceptMessage(bytes, 10), "news", nullptr, nullptr, true}).ok());
  EXPECT_EQ(client->Read(), "\xff\x00"s);
  EXPECT_FALSE(client->got_text());
  ASSERT_TRUE(client->Send("up", true));
  const EventPtr event = server.NextEvent(EventKind::kClientMessage);
  ASSERT_NE(event, nullptr);
  EXPECT_EQ(event->payload, "up");
  EXPECT_EQ(event->content_type, "text/plain");
}

TEST(FrontEndTest, ProtoSpeaksTheSameInBinary) {
  Server server;
  auto client = WsClient::Connect(server.port(),
                                  {.subprotocol = "herald.v1.proto", .target = "/ws?user=alice"});
  ASSERT_NE(client, nullptr);
  v1::ClientFrame frame;
  frame.mutable_connect();
  ASSERT_TRUE(client->Send(frame.SerializeAsString(), /*text=*/false));
  v1::ServerFrame answer;
  ASSERT_TRUE(answer.ParseFromString(client->Read().value_or("x")));
  EXPECT_FALSE(client->got_text());
  EXPECT_EQ(answer.hello().user_id(), "alice");
  frame.set_id(3);
  frame.mutable_subscribe()->set_topic("news");
  ASSERT_TRUE(client->Send(frame.SerializeAsString(), false));
  ASSERT_TRUE(answer.ParseFromString(client->Read().value_or("x")));
  EXPECT_EQ(answer.reply().id(), 3u);
  ASSERT_TRUE(server.node().Publish("news", "hi").ok());
  ASSERT_TRUE(answer.ParseFromString(client->Read().value_or("x")));
  EXPECT_EQ(answer.message().text(), "hi");
  EXPECT_EQ(answer.message().offset(), 1u);
}

// --- frames ---

TEST(FrontEndTest, AnswersPings) {
  Server server;
  auto client = JsonClient::Open(server);
  EXPECT_TRUE(client.ws().Ping("payload"));
  EXPECT_TRUE(client.Ask("ping", "{}").contains("ok"));
  EXPECT_EQ(client.ws().pongs(), 1);
}

TEST(FrontEndTest, ReadsFragmentsWithControlFramesBetweenThem) {
  Server server;
  RawSocket socket = Upgraded(server);
  ASSERT_TRUE(socket.Send(ClientFrame(0x81, R"({"connect":{}})")));
  EXPECT_THAT(ReadFrame(socket).payload, HasSubstr("hello"));
  // Empty fragments too, and a text longer than any first buffer.
  const std::string long_text(3000, 'x');
  ASSERT_TRUE(socket.Send(
      ClientFrame(0x01, "") + ClientFrame(0x00, R"({"id":9,"mes)") + ClientFrame(0x89, "one") +
      ClientFrame(0x00, "") + ClientFrame(0x00, R"(sage":{"text":")" + long_text) +
      ClientFrame(0x8a, "unasked") + ClientFrame(0x89, "two") + ClientFrame(0x80, R"("}})")));
  ServerFrameBytes frame = ReadFrame(socket);
  EXPECT_EQ(frame.opcode, 10);
  EXPECT_EQ(frame.payload, "one");
  frame = ReadFrame(socket);
  EXPECT_EQ(frame.opcode, 10);
  EXPECT_EQ(frame.payload, "two");
  EXPECT_EQ(ReadFrame(socket).payload, R"({"reply":{"id":9,"ok":{}}})");
  const EventPtr event = server.NextEvent(EventKind::kClientMessage);
  ASSERT_NE(event, nullptr);
  EXPECT_EQ(event->payload, long_text);
}

TEST(FrontEndTest, ReadsMessagesOfEverySize) {
  FrontEndOptions options = DevOptions();
  options.limits.inbound_messages_per_second = 0;
  Server server(std::move(options));
  auto client = WsClient::Connect(server.port(), {.subprotocol = ""});
  ASSERT_NE(client, nullptr);
  for (std::size_t size :
       {0u, 1u, 125u, 126u, 127u, 128u, 129u, 4095u, 4096u, 4224u, 4225u, 65535u, 65536u}) {
    const std::string text(size, 'x');
    ASSERT_TRUE(client->Send(text));
    const EventPtr event = server.NextEvent(EventKind::kClientMessage);
    ASSERT_NE(event, nullptr);
    EXPECT_EQ(event->payload, text) << size;
  }
}

// --- closes ---

// What a frame, sent after the upgrade or after the hello, is closed with.
int CloseCodeFor(const std::string& bytes, bool connected = true,
                 FrontEndOptions options = DevOptions()) {
  Server server(std::move(options));
  auto upgraded = std::make_unique<RawSocket>(Upgraded(server));
  RawSocket& socket = *upgraded;
  if (connected) {
    EXPECT_TRUE(socket.Send(ClientFrame(0x81, R"({"connect":{}})")));
    EXPECT_THAT(ReadFrame(socket).payload, HasSubstr("hello"));
  }
  EXPECT_TRUE(socket.Send(bytes));
  const ServerFrameBytes close = ReadCloseFrame(socket);
  socket.Send(ClientFrame(0x88, close.payload));  // the answer, where it was not we who began
  EXPECT_EQ(socket.ReadExactly(1), "") << "data after the close frame";
  upgraded.reset();
  EXPECT_TRUE(server.WaitEmpty());
  if (connected) {
    const EventPtr closed = server.NextEvent(EventKind::kSessionClosed);
    EXPECT_NE(closed, nullptr);
    if (closed) EXPECT_EQ(closed->close_code, close.close_code());
  }
  return close.close_code();
}

std::string ClosePayload(int code, std::string_view reason = "") {
  return std::string{static_cast<char>(code >> 8), static_cast<char>(code)} + std::string(reason);
}

TEST(CloseTest, ProtocolErrorsAre1002) {
  EXPECT_EQ(CloseCodeFor(ClientFrame(0x81, R"({"ping":{}})", /*masked=*/false)), 1002);
  EXPECT_EQ(CloseCodeFor(ClientFrame(0xc1, "x")), 1002);  // a reserved bit
  EXPECT_EQ(CloseCodeFor(ClientFrame(0x83, "x")), 1002);  // a reserved opcode
  EXPECT_EQ(CloseCodeFor(ClientFrame(0x80, "x")), 1002);  // nothing to continue
  EXPECT_EQ(CloseCodeFor(ClientFrame(0x09, "x")), 1002);  // a fragmented ping
  EXPECT_EQ(CloseCodeFor(ClientFrame(0x88, ClosePayload(999))), 1002);
}

TEST(CloseTest, TheWrongDataTypeIs1003) {
  EXPECT_EQ(CloseCodeFor(ClientFrame(0x82, R"({"ping":{}})")), 1003);
}

TEST(CloseTest, BadUtf8Is1007) {
  EXPECT_EQ(CloseCodeFor(ClientFrame(0x81, "{\"message\":{\"text\":\"\xff\"}}")), 1007);
  EXPECT_EQ(CloseCodeFor(ClientFrame(0x81, "\xc3")), 1007);
}

TEST(CloseTest, TooBigIs1009) {
  EXPECT_EQ(CloseCodeFor(ClientFrame(
                0x81, "{\"message\":{\"text\":\"" + std::string(100'000, 'x') + "\"}}")),
            1009);
}

TEST(CloseTest, MalformedAndUnexpectedFramesAre4400) {
  for (const char* text :
       {"", "x", "[]", "{}", R"({"shout":{}})", R"({"connect":{}})", R"({"id":-1,"ping":{}})",
        R"({"ping":{},"ack":{}})", R"({"ping":{}}{})"}) {
    EXPECT_EQ(CloseCodeFor(ClientFrame(0x81, text)), 4400) << text;
  }
  for (const char* text :
       {R"({"ping":{}})", "{}", R"({"connect":{"resume":[{"topic":"$user/bob"}]}})",
        R"({"connect":{"resume":[{"topic":"a","position":"x"}]}})",
        R"({"connect":{"labels":{"a b":"c"}}})", R"({"connect":{"token":1}})"}) {
    EXPECT_EQ(CloseCodeFor(ClientFrame(0x81, text), /*connected=*/false), 4400) << text;
  }
}

TEST(CloseTest, TheClientsOwnCodeIsAnsweredAndTold) {
  EXPECT_EQ(CloseCodeFor(ClientFrame(0x88, ClosePayload(1000))), 1000);
  EXPECT_EQ(CloseCodeFor(ClientFrame(0x88, ClosePayload(4999, "bye"))), 4999);
}

TEST(CloseTest, ACloseWithoutACodeIsTold1005) {
  Server server;
  RawSocket socket = Upgraded(server);
  ASSERT_TRUE(socket.Send(ClientFrame(0x81, R"({"connect":{}})") + ClientFrame(0x88, "")));
  EXPECT_EQ(ReadCloseFrame(socket).opcode, 8);
  socket.Reset();
  const EventPtr closed = server.NextEvent(EventKind::kSessionClosed);
  ASSERT_NE(closed, nullptr);
  EXPECT_EQ(closed->close_code, 1005);
}

TEST(CloseTest, ABrokenConnectionIsTold1006) {
  Server server;
  RawSocket socket = Upgraded(server);
  ASSERT_TRUE(socket.Send(ClientFrame(0x81, R"({"connect":{}})")));
  EXPECT_THAT(ReadFrame(socket).payload, HasSubstr("hello"));
  socket.Reset();
  const EventPtr closed = server.NextEvent(EventKind::kSessionClosed);
  ASSERT_NE(closed, nullptr);
  EXPECT_EQ(closed->close_code, 1006);
}

// RFC 6455 §5.5.1: nothing follows a close frame, however busy the topic is. And the code is the
// client's, not that of a write which failed afterwards.
TEST(CloseTest, NothingFollowsTheAnswerToAClose) {
  Server server;
  std::optional<BusyPublisher> publisher(std::in_place, server, std::vector<std::string>{"busy"},
                                         100);
  for (int i = 0; i < 30; ++i) {
    RawSocket socket = Upgraded(server, "/ws?topics=busy");
    ASSERT_TRUE(socket.Send(ClientFrame(0x81, R"({"connect":{}})")));
    EXPECT_THAT(ReadFrame(socket).payload, HasSubstr("hello"));
    ReadFrame(socket);
    ASSERT_TRUE(socket.Send(ClientFrame(0x88, ClosePayload(4321))));
    EXPECT_EQ(ReadCloseFrame(socket).close_code(), 4321);
    EXPECT_EQ(socket.ReadToEnd(), "") << i;
    socket.Reset();
    const EventPtr closed = server.NextEvent(EventKind::kSessionClosed);
    ASSERT_NE(closed, nullptr);
    ASSERT_EQ(closed->close_code, 4321) << i;
  }
  publisher.reset();
  EXPECT_TRUE(server.WaitEmpty());
}

// A client that says goodbye and then does not go.
TEST(CloseTest, AConnectionThatStaysAfterItsCloseIsCut) {
  Server server;
  RawSocket socket = Upgraded(server);
  ASSERT_TRUE(
      socket.Send(ClientFrame(0x81, R"({"connect":{}})") + ClientFrame(0x88, ClosePayload(1000))));
  EXPECT_EQ(ReadCloseFrame(socket).close_code(), 1000);
  EXPECT_TRUE(server.WaitEmpty());  // without our end being closed
  const EventPtr closed = server.NextEvent(EventKind::kSessionClosed);
  ASSERT_NE(closed, nullptr);
  EXPECT_EQ(closed->close_code, 1000);
}

TEST(CloseTest, ClosesAsItIsToldWithAdviceBefore) {
  Server server;
  auto client = JsonClient::Open(server);
  Awaited<std::uint64_t> matched;
  server.node().table().ForEach(
      {ToAll{}, nullptr},
      [](Session& session) {
        session.Close({CloseCode::kRestart, std::string(122, 'x') + "\xc3\xa9\xc3\xa9",
                       ReconnectAdvice{false, absl::Seconds(3)}});
      },
      matched.callback());
  EXPECT_EQ(matched.Get(), 1u);
  EXPECT_EQ(Text(client.ReadKind("reconnect"), "delay"), "3s");
  EXPECT_EQ(client.ws().ReadClose(), 1012);
  EXPECT_EQ(client.ws().close_reason(), std::string(122, 'x'));  // cut between characters
}

TEST(CloseTest, NoConnectInTimeIs4408) {
  FrontEndOptions options = DevOptions();
  options.limits.connect_timeout = absl::Milliseconds(100);
  Server server(std::move(options));
  RawSocket socket = Upgraded(server);
  EXPECT_EQ(ReadCloseFrame(socket).close_code(), 4408);
}

TEST(CloseTest, NoPongInTimeIs4408AndAnyFrameWillDo) {
  FrontEndOptions options = DevOptions();
  options.limits.ping_interval = absl::Milliseconds(100);
  options.limits.pong_timeout = absl::Milliseconds(300);
  Server server(std::move(options));
  RawSocket socket = Upgraded(server);
  ASSERT_TRUE(socket.Send(ClientFrame(0x81, R"({"connect":{}})")));
  EXPECT_THAT(ReadFrame(socket).payload, HasSubstr("hello"));
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(ReadFrame(socket).opcode, 9);
    ASSERT_TRUE(socket.Send(i % 2 ? ClientFrame(0x8a, "")
                                  : ClientFrame(0x81, R"({"subscribe":{"topic":"a"}})")));
  }
  EXPECT_EQ(ReadFrame(socket).opcode, 9);  // and this one is not answered
  EXPECT_EQ(ReadCloseFrame(socket).close_code(), 4408);
}

TEST(CloseTest, ASessionThatIsResumedElsewhereIs4409) {
  Server server;
  auto first = JsonClient::Open(server, "/ws?user=alice");
  auto second = JsonClient::Open(server, "/ws?user=alice",
                                 R"({"previous_session_id":")" + first.session_id() + R"("})");
  EXPECT_EQ(first.ws().ReadClose(), 4409);
  EXPECT_TRUE(second.Ask("ping", "{}").contains("ok"));
}

TEST(CloseTest, TooManyFramesASecondIs4429) {
  FrontEndOptions options = DevOptions();
  options.limits.inbound_messages_per_second = 5;
  std::string flood;
  for (int i = 0; i < 30; ++i) flood += ClientFrame(0x81, R"({"ping":{}})");
  EXPECT_EQ(CloseCodeFor(flood, true, std::move(options)), 4429);
}

TEST(CloseTest, TooManySessionsOfAUserIs4429ForTheNewest) {
  FrontEndOptions options = DevOptions();
  options.limits.max_sessions_per_user = 2;
  Server server(std::move(options));
  auto one = JsonClient::Open(server, "/ws?user=alice"),
       two = JsonClient::Open(server, "/ws?user=alice");
  JsonClient three(server, {.target = "/ws?user=alice"});
  three.Send(R"({"connect":{}})");
  EXPECT_EQ(three.ws().ReadClose(), 4429);
  EXPECT_TRUE(one.Ask("ping", "{}").contains("ok"));
  EXPECT_TRUE(JsonClient::Open(server, "/ws?user=bob"));
}

// --- who may ---

class TokenTest : public ::testing::Test {
 protected:
  TokenTest() {
    verifier_ = *TokenVerifier::Create(
        {.keys = {*ParseKeySource("HS256:" + directory_.Write("secret", kSecret))},
         .leeway = absl::ZeroDuration()});
    options_.rules = std::make_shared<const TopicRules>();
    server_.emplace(options_, verifier_.get());
  }
  std::string Token(TokenSpec spec, absl::Time now = absl::Now()) {
    return *TokenMinter(*MakeSecretKey(kSecret)).Mint(spec, now);
  }
  int CloseCodeFor(const std::string& connect) {
    JsonClient client(*server_);
    client.Send(R"({"connect":)" + connect + "}");
    return client.ws().ReadClose();
  }
  static std::string With(const std::string& token, const std::string& more = "") {
    return R"({"token":")" + token + "\"" + more + "}";
  }

  TempDirectory directory_;
  std::unique_ptr<TokenVerifier> verifier_;
  FrontEndOptions options_;
  std::optional<Server> server_;
};

TEST_F(TokenTest, NoTokenOrABadOneIs4401) {
  EXPECT_EQ(CloseCodeFor("{}"), 4401);
  EXPECT_EQ(CloseCodeFor(With("x")), 4401);
}

TEST_F(TokenTest, AnExpiredTokenIs4402) {
  EXPECT_EQ(CloseCodeFor(With(Token({.subject = "alice"}, absl::Now() - absl::Hours(2)))), 4402);
}

TEST_F(TokenTest, ATopicThatIsNotAllowedIs4403) {
  EXPECT_EQ(CloseCodeFor(With(Token({.subject = "alice"}), R"(,"resume":[{"topic":"secret"}])")),
            4403);
}

TEST_F(TokenTest, ATokenSaysWhoAndWhatIsAllowed) {
  auto client = JsonClient::Open(*server_, "/ws",
                                 With(Token({.subject = "alice",
                                             .topics = {"orders/42"},
                                             .allow_subscribe = {"news/*"},
                                             .allow_publish = {}})));
  EXPECT_EQ(Text(client.hello, "user_id"), "alice");
  EXPECT_THAT(client.hello.at("topics").as_array(), SizeIs(3));
  EXPECT_TRUE(client.Subscribe("news/1"));
  EXPECT_EQ(ErrorCode(client.Ask("subscribe", R"({"topic":"orders/43"})")), "PERMISSION_DENIED");
  EXPECT_EQ(ErrorCode(client.Ask("publish", R"({"topic":"news/1","text":"x"})")),
            "PERMISSION_DENIED");
}

TEST_F(TokenTest, ASessionEndsWithItsTokenUnlessItIsRefreshed) {
  auto ends =
      JsonClient::Open(*server_, "/ws", With(Token({.subject = "alice", .ttl = absl::Seconds(2)})));
  auto stays =
      JsonClient::Open(*server_, "/ws", With(Token({.subject = "alice", .ttl = absl::Seconds(2)})));
  EXPECT_TRUE(stays.Ask("refresh", With(Token({.subject = "alice"}))).contains("ok"));
  EXPECT_EQ(ends.ws().ReadClose(), 4402);
  EXPECT_TRUE(stays.Ask("ping", "{}").contains("ok"));
  stays.Send(R"({"refresh":)" + With(Token({.subject = "bob"})) + "}");
  EXPECT_EQ(stays.ws().ReadClose(), 4401);  // of another user
}

TEST_F(TokenTest, ABadRefreshIs4401) {
  auto client = JsonClient::Open(*server_, "/ws", With(Token({.subject = "alice"})));
  client.Send(R"({"refresh":{"token":"x"}})");
  EXPECT_EQ(client.ws().ReadClose(), 4401);
}

// --- slow and broken clients ---

// A raw socket with small buffers, which is on `flood` and reads nothing after its hello.
RawSocket StoppedReader(Server& server) {
  RawSocket socket = Upgraded(server, "/ws?topics=flood", /*receive_buffer=*/4096);
  EXPECT_TRUE(socket.Send(ClientFrame(0x81, R"({"connect":{}})")));
  EXPECT_THAT(ReadFrame(socket).payload, HasSubstr("hello"));
  return socket;
}

FrontEndOptions SmallQueues() {
  FrontEndOptions options = DevOptions();
  options.limits.max_outbound_bytes_per_session = 256 * 1024;
  return options;
}

// Publishes until a session counts as slow; how many messages that took.
int FloodUntilDropped(Server& server) {
  int sent = 0;
  const auto dropped = [&] {
    std::uint64_t dropped = 0;
    for (auto& shard : server.node().shards()) {
      dropped += shard->stats().dropped[static_cast<int>(DropReason::kSlowConsumer)];
    }
    return dropped;
  };
  while (dropped() == 0 && sent < 20'000) {
    EXPECT_TRUE(server.node().Publish("flood", std::string(16 * 1024, 'x')).ok());
    ++sent;
    server.node().Settle();
  }
  EXPECT_GT(dropped(), 0u);
  return sent;
}

TEST(SlowConsumerTest, IsClosed4413AfterWholeFramesInOrder) {
  Server server(SmallQueues());
  RawSocket socket = StoppedReader(server);
  auto reader = JsonClient::Open(server);  // is not held up
  const int sent = FloodUntilDropped(server);
  EXPECT_TRUE(reader.Ask("ping", "{}").contains("ok"));
  // Now it reads: what was on the wire, whole and in order, and then the close.
  std::uint64_t got = 0;
  ServerFrameBytes frame = ReadFrame(socket);
  for (; frame.opcode == 1; frame = ReadFrame(socket)) {
    const json::value message = json::parse(frame.payload).at("message");
    ++got;
    ASSERT_EQ(message.at("offset").as_string(), std::to_string(got));
  }
  EXPECT_EQ(frame.close_code(), 4413);
  EXPECT_LT(got, static_cast<std::uint64_t>(sent));
  socket.Send(ClientFrame(0x88, frame.payload));
  socket.ShutdownSend();
  const EventPtr closed = server.NextEvent(EventKind::kSessionClosed);
  ASSERT_NE(closed, nullptr);
  EXPECT_EQ(closed->close_code, 4413);
  EXPECT_EQ(closed->messages_out, got);
  EXPECT_EQ(closed->dropped.at("slow_consumer"), static_cast<std::uint64_t>(sent) - got);
  for (auto& shard : server.node().shards()) EXPECT_EQ(shard->stats().queued_bytes, 0);
}

// Pings of a client that does not read wait for the wire; the close must not wait for them.
TEST(SlowConsumerTest, IsClosed4413AlsoWithPingsUnanswered) {
  Server server(SmallQueues());
  RawSocket socket = StoppedReader(server);
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(server.node().Publish("flood", std::string(16 * 1024, 'x')).ok());
  (void)Eventually([&] {  // until the kernel takes no more and a pong is stuck behind data
    std::int64_t queued = 0;
    for (auto& shard : server.node().shards()) queued += shard->stats().queued_bytes;
    if (queued > 0) return true;
    EXPECT_TRUE(server.node().Publish("flood", std::string(16 * 1024, 'x')).ok());
    server.node().Settle();
    return false;
  });
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(socket.Send(ClientFrame(0x89, "are you there?")));
  server.node().Settle();
  FloodUntilDropped(server);
  EXPECT_EQ(ReadCloseFrame(socket).close_code(), 4413);
}

// One that never reads again is given up, and nothing of it stays: neither its session nor its
// place.
TEST(SlowConsumerTest, ThatNeverReadsAgainIsCutAndGivesItsPlaceBack) {
  Server server(SmallQueues());
  RawSocket socket = StoppedReader(server);
  std::string pings;
  for (int i = 0; i < 200; ++i) pings += ClientFrame(0x89, "are you there?");
  ASSERT_TRUE(socket.Send(pings));
  FloodUntilDropped(server);
  EXPECT_TRUE(server.WaitEmpty());
  for (auto& shard : server.node().shards()) EXPECT_EQ(shard->stats().queued_bytes, 0);
}

TEST(FrontEndTest, SurvivesAbruptDisconnectsByTheThousand) {
  FrontEndOptions options = SmallQueues();
  options.limits.max_sessions_per_user = 0;
  Server server(std::move(options));
  std::optional<BusyPublisher> publisher(
      std::in_place, server, std::vector<std::string>{"flood", "$all", "$user/alice"}, 500);
  const std::string connect = ClientFrame(0x81, R"({"connect":{}})");
  for (int i = 0; i < 2000; ++i) {
    RawSocket socket(server.port());
    ASSERT_TRUE(socket.ok());
    socket.Send(UpgradeText("herald.v1.json", "/ws?user=alice&topics=flood") + connect);
    switch (i % 5) {
      case 0:
        socket.Reset();  // maybe before it was accepted
        break;
      case 1:
        socket.ReadUntil("\r\n\r\n");
        socket.Reset();
        break;
      case 2:
        socket.ReadUntil("hello");
        break;  // closed with unread data
      case 3:
        socket.ReadUntil("hello");
        socket.ShutdownSend();
        break;
      case 4:
        socket.Send(ClientFrame(0x81, R"({"id":1,"publish":{"topic":"flood","text":"x"}})") +
                    "\x81"s);
        socket.Reset();
        break;
    }
  }
  publisher.reset();
  EXPECT_TRUE(server.WaitEmpty());
  EXPECT_EQ(server.node().index().Count().topics, 0u);
  for (auto& shard : server.node().shards()) EXPECT_EQ(shard->stats().queued_bytes, 0);
  EXPECT_TRUE(JsonClient::Open(server));
}

TEST(FrontEndTest, StopsWithSessionsInEveryState) {
  std::vector<RawSocket> sockets;
  {
    Server server(SmallQueues());
    sockets.emplace_back(server.port());
    sockets.emplace_back(server.port());
    sockets.back().Send("GET /ws HT");
    sockets.push_back(Upgraded(server));
    sockets.push_back(StoppedReader(server));
    sockets.push_back(StoppedReader(server));
    sockets.back().Send(ClientFrame(0x89, "waits behind what is not read"));
    (void)FloodUntilDropped(server);
    sockets.push_back(StoppedReader(server));
  }
  for (RawSocket& socket : sockets) EXPECT_TRUE(socket.ReadToEnd().has_value());
}

}  // namespace
}  // namespace herald
