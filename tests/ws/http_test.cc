// What is answered before a session exists.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ws/server.h"

namespace herald {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string Exchange(Server& server, const std::string& request) {
  RawSocket socket(server.port());
  EXPECT_TRUE(socket.Send(request));
  const auto response = socket.ReadToEnd();
  EXPECT_TRUE(response.has_value()) << "the connection was not closed";
  return response.value_or("");
}

TEST(HttpTest, UpgradesAGoodRequest) {
  Server server;
  RawSocket socket(server.port());
  ASSERT_TRUE(socket.Send(UpgradeText()));
  const std::string response = socket.ReadUntil("\r\n\r\n");
  EXPECT_THAT(response, StartsWith("HTTP/1.1 101 "));
  // RFC 6455 §1.3, the example.
  EXPECT_THAT(response, HasSubstr("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
  EXPECT_THAT(response, HasSubstr("Sec-WebSocket-Protocol: herald.v1.json\r\n"));
}

TEST(HttpTest, AnswersWithTheFittingStatus) {
  FrontEndOptions options = DevOptions();
  options.dev = options.allow_anonymous = false;  // tokens are needed, and there are no pages
  Server server(std::move(options));
  struct Case {
    std::string request;
    const char* status;
    const char* header = "";
  };
  const std::string head = UpgradeText("herald.v1.json", "/ws", {}).substr(4);
  for (const Case& c : {
           Case{"nonsense\r\n\r\n", "400"},
           {"GET /ws HTTP/1.1\r\nbad header\r\n\r\n", "400"},
           {UpgradeText("herald.v1.json", "/ws", {{"Sec-WebSocket-Key", "x"}}), "400"},
           {UpgradeText("mqtt"), "400"},
           {UpgradeText("herald.v1.json", "/ws?topics=$all"), "400"},
           {UpgradeText(""), "401", "WWW-Authenticate: Bearer\r\n"},
           {UpgradeText("herald.v1.json", "/ws", {{"Origin", "https://evil.com"}}), "403"},
           {UpgradeText("herald.v1.json", "/other"), "404"},
           {UpgradeText("herald.v1.json", "/wsx"), "404"},
           {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "404"},
           {"POST " + head, "405", "Allow: GET, OPTIONS\r\n"},
           {"HEAD " + head, "405", "Allow: GET, OPTIONS\r\n"},
           {"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n", "426", "Upgrade: websocket\r\n"},
           {UpgradeText("herald.v1.json", "/ws", {{"Sec-WebSocket-Version", "8"}}), "426",
            "Sec-WebSocket-Version: 13\r\n"},
       }) {
    const std::string response = Exchange(server, c.request);
    EXPECT_THAT(response, StartsWith(std::string("HTTP/1.1 ") + c.status)) << c.request;
    EXPECT_THAT(response, HasSubstr(c.header));
    EXPECT_THAT(response, HasSubstr("Connection: close"));
  }
  EXPECT_EQ(server.front_end().handshakes_accepted, 0u);
  EXPECT_EQ(server.front_end().refusals.total(), 14u);
  // The last connection is released after its client has the answer.
  EXPECT_TRUE(server.WaitEmpty());
}

TEST(HttpTest, RefusesAHeaderThatIsTooLarge) {
  Server server;
  const std::string response =
      Exchange(server, UpgradeText("herald.v1.json", "/ws", {{"X-Long", std::string(9000, 'x')}}));
  EXPECT_THAT(response, StartsWith("HTTP/1.1 431"));
}

// Beast aborts the process at a field of 64 KiB.
TEST(HttpTest, SurvivesALineThatIsTooLongForTheParser) {
  FrontEndOptions options = DevOptions();
  options.limits.max_header_bytes = 1 << 20;
  Server server(std::move(options));
  for (std::size_t size : {59'000u, 65'533u, 70'000u, 200'000u}) {
    const std::string response =
        Exchange(server, UpgradeText("mqtt", "/ws", {{"X-Long", std::string(size, 'x')}}));
    EXPECT_THAT(response, StartsWith(size < 60'000 ? "HTTP/1.1 400" : "HTTP/1.1 431")) << size;
  }
}

TEST(HttpTest, B1ListFieldsOnSeveralLinesUpgrade) {
  Server server;
  RawSocket socket(server.port());
  ASSERT_TRUE(
      socket.Send("GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nConnection: Upgrade\r\n"
                  "Upgrade: h2c\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: other\r\n"
                  "Sec-WebSocket-Protocol: herald.v1.json\r\n\r\n"));
  const std::string response = socket.ReadUntil("\r\n\r\n");
  EXPECT_THAT(response, StartsWith("HTTP/1.1 101 "));
  EXPECT_THAT(response, HasSubstr("Sec-WebSocket-Protocol: herald.v1.json\r\n"));
}

TEST(HttpTest, B10OptionsSaysWhatWorks) {
  Server server;
  for (const char* target : {"/ws", "/herald.js", "*"}) {
    const std::string response =
        Exchange(server, std::string("OPTIONS ") + target + " HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_THAT(response, StartsWith("HTTP/1.1 204 ")) << target;
    EXPECT_THAT(response, HasSubstr("Allow: GET, ")) << target;
  }
}

TEST(HttpTest, G16AnswersListedHostsOnly) {
  FrontEndOptions options = DevOptions();
  options.allowed_hosts = {"loopback"};
  Server server(std::move(options));
  const auto get = [&](const std::string& host) {
    return Exchange(server, "GET /herald.js HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
  };
  EXPECT_THAT(get("localhost:8080"), StartsWith("HTTP/1.1 200 "));
  const std::string refused = get("evil.example");
  EXPECT_THAT(refused, StartsWith("HTTP/1.1 421 "));
  EXPECT_THAT(refused, HasSubstr("allowed_hosts"));
}

TEST(HttpTest, AnswersAHalfClosedRequestThatIsNotComplete) {
  Server server;
  RawSocket socket(server.port());
  ASSERT_TRUE(socket.Send("GET /ws HTTP/1.1\r\nHost:"));
  socket.ShutdownSend();
  EXPECT_THAT(socket.ReadToEnd().value_or(""), StartsWith("HTTP/1.1 400 "));
}

TEST(HttpTest, GivesUpOnAHeaderThatDoesNotCome) {
  FrontEndOptions options = DevOptions();
  options.limits.handshake_timeout = absl::Milliseconds(100);
  Server server(std::move(options));
  EXPECT_THAT(Exchange(server, ""), StartsWith("HTTP/1.1 408"));
  EXPECT_THAT(Exchange(server, "GET /ws HTTP/1.1\r\nHost: x\r\n"), StartsWith("HTTP/1.1 408"));
}

TEST(HttpTest, RefusesWhenItIsFullOrDraining) {
  FrontEndOptions options = DevOptions();
  options.max_sessions = 1;
  Server server(std::move(options));
  {
    auto client = JsonClient::Open(server);
    const std::string full = Exchange(server, UpgradeText());
    EXPECT_THAT(full, StartsWith("HTTP/1.1 503"));
    EXPECT_THAT(full, HasSubstr("Retry-After: "));
  }
  ASSERT_TRUE(server.WaitEmpty());
  server.front_end().draining = true;
  const std::string draining = Exchange(server, UpgradeText());
  EXPECT_THAT(draining, StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(draining, HasSubstr("Retry-After: "));
  server.front_end().draining = false;
  server.front_end().memory = MemoryLevel::kTight;
  EXPECT_THAT(Exchange(server, UpgradeText()), StartsWith("HTTP/1.1 503"));
  server.front_end().memory = MemoryLevel::kNormal;
  EXPECT_TRUE(JsonClient::Open(server));
}

TEST(HttpTest, RefusesAnAddressWithTooManySessions) {
  FrontEndOptions options = DevOptions();
  options.limits.max_sessions_per_ip = 1;
  Server server(std::move(options));
  auto client = JsonClient::Open(server);
  const std::string response = Exchange(server, UpgradeText());
  EXPECT_THAT(response, StartsWith("HTTP/1.1 429"));
  EXPECT_THAT(response, HasSubstr("Retry-After: "));
}

TEST(HttpTest, RefusesTooManyHandshakesASecond) {
  FrontEndOptions options = DevOptions();
  options.limits.handshakes_per_second = 1;
  Server server(std::move(options));
  // Two within a second, among twenty in a row.
  bool refused = false;
  for (int i = 0; i < 20 && !refused; ++i) {
    RawSocket socket(server.port());
    ASSERT_TRUE(socket.Send(UpgradeText()));
    refused = socket.ReadUntil("\r\n\r\n").starts_with("HTTP/1.1 503");
  }
  EXPECT_TRUE(refused);
}

TEST(HttpTest, ARefusedHandshakeGivesItsPlaceBack) {
  FrontEndOptions options = DevOptions();
  options.max_sessions = 1;
  Server server(std::move(options));
  for (int i = 0; i < 5; ++i)
    EXPECT_THAT(Exchange(server, UpgradeText("mqtt")), StartsWith("HTTP/1.1 400"));
  EXPECT_TRUE(JsonClient::Open(server));
}

TEST(HttpTest, SurvivesConnectionsThatEndInTheMiddleOfAHeader) {
  Server server;
  const std::string request = UpgradeText();
  for (std::size_t cut = 0; cut < request.size(); cut += 7) {
    RawSocket socket(server.port());
    socket.Send(request.substr(0, cut));
    if (cut % 2) socket.Reset();
  }
  EXPECT_TRUE(JsonClient::Open(server));
}

TEST(ListenerTest, RefusesAPortThatIsTaken) {
  Server server;
  const auto second =
      Listener::Open(server.front_end(), server.node().shards(), server.listener().endpoint());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("127.0.0.1:"));
}

TEST(ListenerTest, RefusesAnAddressOfAnotherMachine) {
  Server server;
  const auto listener = Listener::Open(server.front_end(), server.node().shards(),
                                       {boost::asio::ip::make_address_v4("192.0.2.1"), 0});
  EXPECT_EQ(listener.status().code(), absl::StatusCode::kUnavailable);
}

TEST(ListenerTest, AfterCloseNobodyIsAccepted) {
  Server server;
  auto client = JsonClient::Open(server);
  server.listener().Close();
  server.node().Settle();
  EXPECT_FALSE(RawSocket(server.port()).ok());
  EXPECT_TRUE(client.Ask("ping", "{}").contains("ok"));  // those who are there stay
}

TEST(ListenerTest, SpreadsConnectionsOverShards) {
  Server server;
  std::vector<JsonClient> clients;
  for (int i = 0; i < 40; ++i) clients.push_back(JsonClient::Open(server));
  EXPECT_GT(server.node().shard(0).stats().sessions, 0u);
  EXPECT_GT(server.node().shard(1).stats().sessions, 0u);
}

}  // namespace
}  // namespace herald
