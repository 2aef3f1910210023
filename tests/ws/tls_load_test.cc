// TLS sessions under load: records, slow readers, cuts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "absl/time/clock.h"
#include "tests/ws/tls_client.h"
#include "tests/ws/tls_server.h"
#include "ws/tls_stream.h"

namespace herald {
namespace {

namespace json = boost::json;

std::int64_t QueuedBytes(Server& server) {
  std::int64_t queued = 0;
  for (auto& shard : server.node().shards()) queued += shard->stats().queued_bytes;
  return queued;
}

std::uint64_t OffsetOf(const ServerFrameBytes& frame) {
  const json::value message = json::parse(frame.payload).at("message");
  return std::stoull(std::string(message.at("offset").as_string()));
}

// Keeps a shard from running until it goes: what is posted meanwhile is drained at once.
class Paused {
 public:
  explicit Paused(Shard& shard) {
    std::promise<void> stopped;
    shard.Post([&stopped, go = go_.get_future().share()] {
      stopped.set_value();
      go.wait();
    });
    stopped.get_future().wait();
  }
  ~Paused() { go_.set_value(); }

 private:
  std::promise<void> go_;
};

TEST(TlsLoadTest, WhatIsQueuedGoesOutInOneRecord) {
  TlsServer server;
  TlsSocket socket = server.Open("/ws?topics=news,sport");
  const int before = socket.records();
  {
    Paused one(server.node().shard(0)), two(server.node().shard(1));
    // Of two topics in turn, for neighbours of one topic are one buffer already.
    for (int i = 0; i < 64; ++i)
      ASSERT_TRUE(server.node().Publish(i % 2 == 0 ? "news" : "sport", "small").ok());
  }
  for (std::uint64_t i = 0; i < 64; ++i) ASSERT_EQ(OffsetOf(ReadFrame(socket)), i / 2 + 1);
  EXPECT_EQ(socket.records(), before + 1);
}

TEST(TlsLoadTest, AThousandMessagesReachASlowReaderInOrder) {
  TlsServer server;
  TlsSocket socket = server.Open("/ws?topics=news", {.receive_buffer = 4096});
  const std::string padding(700, 'x');
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(server.node().Publish("news", padding).ok());
  for (std::uint64_t i = 1; i <= 1000; ++i) {
    if (i % 100 == 0) absl::SleepFor(absl::Milliseconds(5));
    const ServerFrameBytes frame = ReadFrame(socket);
    ASSERT_EQ(OffsetOf(frame), i);
    ASSERT_NE(frame.payload.find(padding), std::string::npos);
  }
  EXPECT_EQ(QueuedBytes(server), 0);
}

TEST(TlsLoadTest, CarriesFramesOfEverySize) {
  TlsServer server;
  TlsSocket socket = server.Open("/ws?topics=news");
  const std::size_t record = TlsStream::kMaxRecordBytes;
  for (std::size_t size : {std::size_t{0}, std::size_t{1}, record - 200, record - 1, record,
                           record + 1, 2 * record, std::size_t{60'000}}) {
    std::string payload(size, '\0');
    for (std::size_t i = 0; i < size; ++i) payload[i] = static_cast<char>('a' + i % 23);
    ASSERT_TRUE(server.node().Publish("news", payload).ok());
    EXPECT_EQ(json::parse(ReadFrame(socket).payload).at("message").at("text").as_string(), payload);
  }
}

// A client may ask for small records (RFC 6066 §4); one that is not taken whole is then several.
TEST(TlsLoadTest, CutsRecordsAsSmallAsTheClientWants) {
  TlsServer server;
  TlsSocket socket =
      server.Open("/ws?topics=news", {.receive_buffer = 4096,
                                      .max_version = TLS1_2_VERSION,
                                      .receive_record = TLSEXT_max_fragment_length_512});
  for (int i = 0; i < 60; ++i) {
    ASSERT_TRUE(server.node().Publish("news", std::string(10'000, 'x')).ok());
  }
  for (std::uint64_t i = 1; i <= 60; ++i) ASSERT_EQ(OffsetOf(ReadFrame(socket)), i);
  EXPECT_GT(socket.records(), 1000);
}

TEST(TlsLoadTest, ReadsMessagesOfEverySize) {
  FrontEndOptions options = DevOptions();
  options.limits.inbound_messages_per_second = 0;
  TlsServer server(std::move(options));
  TlsSocket socket(server.port());
  // The first frame comes in the record of the request.
  ASSERT_TRUE(socket.Send(UpgradeText("") + ClientFrame(0x81, "first")));
  EXPECT_EQ(server.NextEvent(EventKind::kClientMessage)->payload, "first");
  for (std::size_t size : {0u, 1u, 128u, 4096u, 4225u, 16384u, 16385u, 65536u}) {
    const std::string text(size, 'x');
    ASSERT_TRUE(socket.Send(ClientFrame(0x81, text)));
    const EventPtr event = server.NextEvent(EventKind::kClientMessage);
    ASSERT_NE(event, nullptr);
    EXPECT_EQ(event->payload, text) << size;
  }
}

TEST(TlsLoadTest, ASlowConsumerIsClosed4413AfterWholeFramesInOrder) {
  FrontEndOptions options = DevOptions();
  options.limits.max_outbound_bytes_per_session = 256 * 1024;
  TlsServer server(std::move(options));
  TlsSocket socket = server.Open("/ws?topics=flood", {.receive_buffer = 4096});
  std::uint64_t sent = 0;
  std::int64_t most = 0;
  const auto dropped = [&] {
    std::uint64_t dropped = 0;
    for (auto& shard : server.node().shards())
      dropped += shard->stats().dropped[static_cast<int>(DropReason::kSlowConsumer)];
    return dropped;
  };
  for (; dropped() == 0 && sent < 20'000; ++sent) {
    ASSERT_TRUE(server.node().Publish("flood", std::string(16 * 1024, 'x')).ok());
    server.node().Settle();
    most = std::max(most, QueuedBytes(server));
  }
  EXPECT_LE(most, 256 * 1024);
  std::uint64_t got = 0;
  ServerFrameBytes frame = ReadFrame(socket);
  for (; frame.opcode == 1; frame = ReadFrame(socket)) ASSERT_EQ(OffsetOf(frame), ++got);
  EXPECT_EQ(frame.close_code(), 4413);
  socket.Send(ClientFrame(0x88, frame.payload));
  const EventPtr closed = server.NextEvent(EventKind::kSessionClosed);
  ASSERT_NE(closed, nullptr);
  EXPECT_EQ(closed->close_code, 4413);
  EXPECT_EQ(closed->messages_out, got);
  EXPECT_EQ(closed->dropped.at("slow_consumer"), sent - got);
  EXPECT_EQ(QueuedBytes(server), 0);
}

// What is encrypted is neither dropped nor overtaken, whatever happens to the queue around it.
TEST(TlsLoadTest, DropsAndOvertakingTearNothing) {
  TlsServer server;
  TlsSocket socket = server.Open("/ws?topics=flood,urgent", {.receive_buffer = 4096});
  std::uint64_t sent = 0;
  const auto publish = [&](std::string topic, std::size_t bytes, DeliveryOptionsPtr options) {
    ASSERT_TRUE(server.node()
                    .Publish({Body(std::string(bytes, 'x')), std::move(topic), nullptr, nullptr,
                              /*keep=*/true, std::move(options)})
                    .ok());
    server.node().Settle();
  };
  for (; QueuedBytes(server) == 0; ++sent) publish("flood", 1000, nullptr);
  for (int i = 0; i < 300; ++i, ++sent) {
    DeliveryOptions options;
    options.collapse_key = std::to_string(i % 7);
    if (i % 3 == 0) options.expires_unix_ms = absl::ToUnixMillis(absl::Now()) + i % 4;
    publish("flood", 1 + 997 * static_cast<std::size_t>(i % 9),
            std::make_shared<DeliveryOptions>(options));
    DeliveryOptions urgent;
    urgent.high_priority = true;
    if (i % 5 == 0) publish("urgent", 500, std::make_shared<DeliveryOptions>(urgent));
  }
  publish("flood", 3, nullptr);
  ++sent;
  std::uint64_t last_flood = 0, last_urgent = 0, got = 0;
  while (last_flood < sent) {
    const ServerFrameBytes frame = ReadFrame(socket);
    ASSERT_EQ(frame.opcode, 1);
    const json::value message = json::parse(frame.payload).at("message");
    std::uint64_t& last = message.at("topic").as_string() == "flood" ? last_flood : last_urgent;
    ASSERT_GT(OffsetOf(frame), last);
    last = OffsetOf(frame);
    ++got;
  }
  EXPECT_EQ(last_urgent, 60u);
  EXPECT_LT(got, sent + 60);  // some were dropped, or this shows nothing
}

// Its kernel takes what lies before the ping, slowly: that is life enough.
TEST(TlsLoadTest, ASlowReaderThatGoesOnReadingIsNotTakenForDead) {
  FrontEndOptions options = DevOptions();
  options.limits.ping_interval = absl::Milliseconds(200);
  options.limits.pong_timeout = absl::Milliseconds(700);  // the kernel asks a shut window every 200
  options.limits.max_outbound_bytes_per_session = 16 << 20;
  TlsServer server(std::move(options));
  TlsSocket socket = server.Open("/ws?topics=flood", {.receive_buffer = 4096});
  constexpr std::uint64_t kMessages = 250;
  for (std::uint64_t i = 0; i < kMessages; ++i)
    ASSERT_TRUE(server.node().Publish("flood", std::string(30'000, 'x')).ok());
  std::uint64_t got = 0;
  while (got < kMessages) {
    const ServerFrameBytes frame = ReadFrame(socket);
    if (frame.opcode == 9) continue;  // stays without its pong
    ASSERT_EQ(frame.opcode, 1) << frame.close_code() << " after " << got;
    ASSERT_EQ(OffsetOf(frame), ++got);
    absl::SleepFor(absl::Milliseconds(8));
  }
  // And now that all is acknowledged, nothing excuses it.
  EXPECT_EQ(ReadCloseFrame(socket).close_code(), 4408);
}

// Records of one byte are some ten times what was queued: more is unacknowledged than was written.
TEST(TlsLoadTest, NorIsOneThatReadsManySmallRecords) {
  FrontEndOptions options = DevOptions();
  options.limits.ping_interval = absl::Milliseconds(200);
  options.limits.pong_timeout = absl::Milliseconds(700);  // the kernel asks a shut window every 200
  TlsServer server(std::move(options));
  TlsSocket socket(server.port(), {.receive_buffer = 4096});
  ASSERT_TRUE(socket.Send(UpgradeText("", "/ws?topics=flood")));
  EXPECT_THAT(socket.ReadUntil("\r\n\r\n"), ::testing::HasSubstr(" 101 "));
  ASSERT_NE(server.NextEvent(EventKind::kSubscribed), nullptr);
  constexpr int kMessages = 3000;
  for (int i = 0; i < kMessages; ++i) {
    ASSERT_TRUE(server.node().Publish("flood", "x").ok());
    server.node().Settle();
  }
  for (int got = 0; got < kMessages;) {
    const ServerFrameBytes frame = ReadFrame(socket);
    if (frame.opcode == 9) continue;
    ASSERT_EQ(frame.opcode, 1) << frame.close_code() << " after " << got;
    if (++got <= kMessages / 2 && got % 50 == 0) absl::SleepFor(absl::Milliseconds(60));
    if (got != kMessages / 2) continue;
    // A close would come behind all that: the server must still listen.
    ASSERT_TRUE(socket.Send(ClientFrame(0x81, "still here")));
    ASSERT_NE(server.NextEvent(EventKind::kClientMessage), nullptr);
  }
}

TEST(TlsLoadTest, SurvivesAbruptDisconnectsByTheHundred) {
  TlsServer server;
  std::optional<BusyPublisher> publisher(
      std::in_place, server, std::vector<std::string>{"flood", "$all", "$user/alice"}, 500);
  const std::string connect = ClientFrame(0x81, R"({"connect":{}})");
  for (int i = 0; i < 300; ++i) {
    if (i % 6 == 0) {
      RawSocket socket(server.port());
      socket.Send(std::string("\x16\x03\x01\x02\x00\x01", 6));
      if (i % 12) socket.Reset();
      continue;
    }
    TlsSocket socket(server.port());
    ASSERT_TRUE(socket.secure());
    if (i % 6 == 1) continue;  // gone without a request
    socket.Send(UpgradeText("herald.v1.json", "/ws?topics=flood") + connect);
    if (i % 6 > 2) socket.ReadUntil("hello");
    if (i % 6 == 3) SSL_shutdown(socket.ssl());
    if (i % 6 == 4) socket.ShutdownSend();
    if (i % 6 == 5) socket.Reset();
  }
  publisher.reset();
  EXPECT_TRUE(server.WaitEmpty());
  EXPECT_EQ(QueuedBytes(server), 0);
  (void)server.Open();
}

TEST(TlsLoadTest, StopsWithConnectionsInEveryState) {
  std::vector<std::unique_ptr<RawSocket>> sockets;
  {
    TlsServer server;
    sockets.push_back(std::make_unique<RawSocket>(server.port()));
    sockets.push_back(std::make_unique<RawSocket>(server.port()));
    sockets.back()->Send("\x16\x03\x01");
    sockets.push_back(std::make_unique<TlsSocket>(server.port()));
    sockets.push_back(std::make_unique<TlsSocket>(server.port()));
    sockets.back()->Send("GET /ws HT");
    sockets.push_back(std::make_unique<TlsSocket>(server.Open()));
    sockets.push_back(
        std::make_unique<TlsSocket>(server.Open("/ws?topics=flood", {.receive_buffer = 4096})));
    while (QueuedBytes(server) == 0) {
      ASSERT_TRUE(server.node().Publish("flood", std::string(16 * 1024, 'x')).ok());
      server.node().Settle();
    }
    sockets.back()->Send(ClientFrame(0x89, "waits behind what is not read"));
  }
  for (auto& socket : sockets) EXPECT_TRUE(socket->ReadToEnd().has_value());
}

}  // namespace
}  // namespace herald
