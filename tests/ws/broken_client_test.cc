// Clients that stop reading, vanish, or are there when the shards stop.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "tests/ws/server.h"
#include "tests/ws/wire.h"

namespace herald {
namespace {

using ::testing::HasSubstr;
using namespace std::string_literals;
namespace json = boost::json;

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
  for (int i = 0; i < 100; ++i) pings += ClientFrame(0x89, "are you there?");
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
