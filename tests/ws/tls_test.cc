// The client port with TLS: handshakes, sessions, closes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ws/tls_client.h"
#include "tests/ws/tls_server.h"
#include "ws/tls_stream.h"

namespace herald {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
namespace json = boost::json;

TEST(TlsTest, CarriesAJsonSession) {
  TlsServer server;
  TlsSocket socket = server.Open("/ws?user=alice&topics=news");
  ASSERT_TRUE(server.node().Publish("news", "over TLS").ok());
  EXPECT_THAT(ReadFrame(socket).payload, HasSubstr(R"("text":"over TLS")"));
  ASSERT_TRUE(socket.Send(ClientFrame(0x81, R"({"id":7,"ping":{}})")));
  EXPECT_EQ(ReadFrame(socket).payload, R"({"pong":{}})");
  EXPECT_THAT(ReadFrame(socket).payload, HasSubstr(R"("id":7)"));
  ASSERT_TRUE(socket.Send(ClientFrame(0x89, "there?")));
  EXPECT_EQ(ReadFrame(socket).payload, "there?");
  EXPECT_EQ(server.handshakes(TlsResult::kDone), 1u);
}

TEST(TlsTest, CarriesARawSession) {
  TlsServer server;
  TlsSocket socket(server.port());
  ASSERT_TRUE(socket.Send(UpgradeText("", "/ws?topics=news")));
  EXPECT_THAT(socket.ReadUntil("\r\n\r\n"), HasSubstr(" 101 "));
  ASSERT_NE(server.NextEvent(EventKind::kSubscribed), nullptr);
  ASSERT_TRUE(server.node().Publish("news", "just this").ok());
  EXPECT_EQ(ReadFrame(socket).payload, "just this");
  ASSERT_TRUE(socket.Send(ClientFrame(0x81, "and back")));
  const EventPtr event = server.NextEvent(EventKind::kClientMessage);
  ASSERT_NE(event, nullptr);
  EXPECT_EQ(event->payload, "and back");
}

TEST(TlsTest, AnswersPlainRequestsOverIt) {
  TlsServer server;
  TlsSocket socket(server.port());
  ASSERT_TRUE(socket.Send("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"));
  const auto answer = socket.ReadToEnd();
  ASSERT_TRUE(answer.has_value());
  EXPECT_THAT(*answer, StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(*answer, HasSubstr("clients connect to /ws"));
  EXPECT_TRUE(socket.close_notified());
}

// The SDK is some 20 KB: more than a record.
TEST(TlsTest, ServesPagesOfManyRecords) {
  TlsServer server;
  TlsSocket socket(server.port(), {.receive_buffer = 4096});
  ASSERT_TRUE(socket.Send("GET /herald.js HTTP/1.1\r\nHost: x\r\n\r\n"));
  const auto answer = socket.ReadToEnd();
  ASSERT_TRUE(answer.has_value());
  const std::size_t head = answer->find("\r\n\r\n");
  ASSERT_NE(head, std::string::npos);
  EXPECT_THAT(*answer, HasSubstr(fmt::format("Content-Length: {}\r\n", answer->size() - head - 4)));
  EXPECT_GT(answer->size(), TlsStream::kMaxRecordBytes);
}

TEST(TlsTest, SpeaksTls12And13AndNoOlder) {
  TlsServer server;
  EXPECT_TRUE(TlsSocket(server.port(), {.max_version = TLS1_3_VERSION}).secure());
  TlsSocket socket(server.port(), {.max_version = TLS1_2_VERSION});
  ASSERT_TRUE(socket.secure());
  EXPECT_STREQ(SSL_get_version(socket.ssl()), "TLSv1.2");
  EXPECT_FALSE(TlsSocket(server.port(), {.max_version = TLS1_1_VERSION}).secure());
  EXPECT_TRUE(Eventually([&] { return server.handshakes(TlsResult::kFailed) == 1; }));
}

TEST(TlsTest, ChoosesHttp11AndNothingElse) {
  TlsServer server;
  EXPECT_EQ(TlsSocket(server.port(), {.alpn = "\x02h2\x08http/1.1"}).alpn(), "http/1.1");
  TlsSocket none(server.port());
  EXPECT_TRUE(none.secure());
  EXPECT_EQ(none.alpn(), "");
  EXPECT_FALSE(TlsSocket(server.port(), {.alpn = "\x02h2"}).secure());
}

TEST(TlsTest, RefusesToNegotiateAgain) {
  TlsServer server;
  TlsSocket socket = server.Open("/ws", {.max_version = TLS1_2_VERSION});
  SSL_renegotiate(socket.ssl());
  EXPECT_NE(SSL_do_handshake(socket.ssl()), 1);
}

TEST(TlsTest, GoesOnAfterTheClientsNewKeys) {
  TlsServer server;
  TlsSocket socket = server.Open();
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(SSL_key_update(socket.ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
    ASSERT_TRUE(socket.Send(ClientFrame(0x89, "there?")));
    EXPECT_EQ(ReadFrame(socket).payload, "there?");
  }
}

TEST(TlsTest, AClientMayResumeItsTlsSession) {
  TlsServer server;
  TlsSocket first(server.port());
  ASSERT_TRUE(first.Send("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"));
  ASSERT_TRUE(first.ReadToEnd().has_value());  // the ticket has come too
  TlsSocket second(server.port(), {.resume = SSL_get0_session(first.ssl())});
  ASSERT_TRUE(second.secure());
  EXPECT_EQ(SSL_session_reused(second.ssl()), 1);
}

TEST(TlsTest, ASilentClientIsCutInTime) {
  FrontEndOptions options = DevOptions();
  options.limits.handshake_timeout = absl::Milliseconds(100);
  TlsServer server(std::move(options));
  RawSocket silent(server.port());
  EXPECT_EQ(silent.ReadToEnd(), "");
  EXPECT_EQ(server.handshakes(TlsResult::kTimeout), 1u);
  RawSocket half(server.port());
  ASSERT_TRUE(half.Send("\x16\x03\x01\x02"));
  EXPECT_EQ(half.ReadToEnd(), "");
  EXPECT_EQ(server.handshakes(TlsResult::kTimeout), 2u);
  // What is left of the time is for the header.
  TlsSocket secure(server.port());
  ASSERT_TRUE(secure.secure());
  EXPECT_THAT(secure.ReadToEnd().value_or(""), StartsWith("HTTP/1.1 408"));
  EXPECT_EQ(server.handshakes(TlsResult::kTimeout), 2u);
}

TEST(TlsTest, GarbageInsteadOfAClientHelloIsCut) {
  TlsServer server;
  RawSocket garbage(server.port());
  ASSERT_TRUE(garbage.Send(std::string(300, '\x7f')));
  ASSERT_TRUE(garbage.ReadToEnd().has_value());
  EXPECT_EQ(server.handshakes(TlsResult::kFailed), 1u);
  RawSocket gone(server.port());
  gone.ShutdownSend();
  ASSERT_TRUE(gone.ReadToEnd().has_value());
  EXPECT_EQ(server.handshakes(TlsResult::kClosed), 1u);
  EXPECT_EQ(server.front_end().refusals.total(), 0u);
}

TEST(TlsTest, PlainHttpIsToldToUseTls) {
  TlsServer server;
  RawSocket plain(server.port());
  ASSERT_TRUE(plain.Send(UpgradeText()));
  const std::string answer = plain.ReadToEnd().value_or("");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(answer, HasSubstr("wss://"));
  EXPECT_EQ(server.handshakes(TlsResult::kFailed), 1u);
}

TEST(TlsTest, AnOriginOfTheSameHostMustBeHttps) {
  TlsServer server;
  for (const auto& [origin, status] :
       {std::pair{"https://localhost", " 101 "}, {"http://localhost", " 403 "}}) {
    TlsSocket socket(server.port());
    ASSERT_TRUE(socket.Send(UpgradeText("herald.v1.json", "/ws", {{"Origin", origin}})));
    EXPECT_THAT(socket.ReadUntil("\r\n\r\n"), HasSubstr(status));
  }
}

TEST(TlsTest, ClosesWithACodeAndThenCloseNotify) {
  TlsServer server;
  {
    TlsSocket socket = server.Open();
    ASSERT_TRUE(socket.Send(ClientFrame(0x81, "nonsense")));
    const ServerFrameBytes close = ReadCloseFrame(socket);
    EXPECT_EQ(close.close_code(), 4400);
    ASSERT_TRUE(socket.Send(ClientFrame(0x88, close.payload)));
    EXPECT_EQ(socket.ReadToEnd(), "");
    EXPECT_TRUE(socket.close_notified());
  }
  {
    TlsSocket socket = server.Open();
    ASSERT_TRUE(socket.Send(ClientFrame(0x88, ClosePayload(1000, "bye"))));
    EXPECT_EQ(ReadCloseFrame(socket).close_code(), 1000);
    EXPECT_EQ(socket.ReadToEnd(), "");
    EXPECT_TRUE(socket.close_notified());
  }
  EXPECT_EQ(server.NextEvent(EventKind::kSessionClosed)->close_code, 4400);
  EXPECT_EQ(server.NextEvent(EventKind::kSessionClosed)->close_code, 1000);
  EXPECT_TRUE(server.WaitEmpty());
}

TEST(TlsTest, AConnectionThatEndsWithoutACloseFrameIs1006) {
  TlsServer server;
  for (int how = 0; how < 3; ++how) {
    TlsSocket socket = server.Open();
    switch (how) {
      case 0:
        SSL_shutdown(socket.ssl());
        break;
      case 1:
        socket.ShutdownSend();
        break;
      case 2:
        socket.Reset();
        break;
    }
    const EventPtr closed = server.NextEvent(EventKind::kSessionClosed);
    ASSERT_NE(closed, nullptr);
    EXPECT_EQ(closed->close_code, 1006) << how;
  }
  EXPECT_TRUE(server.WaitEmpty());
}

TEST(TlsTest, BrokenRecordsEndTheSession) {
  TlsServer server;
  TlsSocket socket = server.Open();
  socket.SendBehindTls(std::string(100, '\x7f'));
  const EventPtr closed = server.NextEvent(EventKind::kSessionClosed);
  ASSERT_NE(closed, nullptr);
  EXPECT_EQ(closed->close_code, 1006);
  EXPECT_TRUE(server.WaitEmpty());
}

}  // namespace
}  // namespace herald
