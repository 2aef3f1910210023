// What ends a session, and what both sides are told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "tests/ws/server.h"
#include "tests/ws/wire.h"

namespace herald {
namespace {

using ::testing::HasSubstr;

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
    if (closed) {
      EXPECT_EQ(closed->close_code, close.close_code());
    }
  }
  return close.close_code();
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
  const auto bob = JsonClient::Open(server, "/ws?user=bob");
  EXPECT_TRUE(bob);
  // Watchers were not told that the third came, nor that it went.
  one.ws().Close(1000);
  const EventPtr closed = server.NextEvent(EventKind::kSessionClosed);
  ASSERT_NE(closed, nullptr);
  EXPECT_EQ(closed->session_id, Text(one.hello, "session_id"));
}

}  // namespace
}  // namespace herald
