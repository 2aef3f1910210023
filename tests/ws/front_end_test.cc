// The whole front-end with real sockets: what clients send, and what comes back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "fmt/format.h"
#include "tests/ws/server.h"
#include "tests/ws/wire.h"

namespace herald {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using namespace std::string_literals;
namespace json = boost::json;

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

TEST(FrontEndTest, ARawClientIsOnItsTopicsOnceItIsUpgraded) {
  Server server;
  for (int i = 0; i < 200; ++i) {
    const std::string topic = fmt::format("news/{}", i);
    auto client =
        WsClient::Connect(server.port(), {.subprotocol = "", .target = "/ws?topics=" + topic});
    ASSERT_NE(client, nullptr);
    const auto published = server.node().Publish(topic, "hello");
    ASSERT_TRUE(published.ok()) << published.status();
    ASSERT_EQ(client->Read(), "hello") << "client " << i;
  }
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

}  // namespace
}  // namespace herald
