#include "session/slow_sessions.h"

#include <gtest/gtest.h>

#include "tests/session/node.h"

namespace herald {
namespace {

constexpr std::size_t kTotal = 200'000;

ShardOptions SmallTotal() {
  ShardOptions options;
  options.max_outbound_bytes = kTotal;
  return options;
}

class SlowSessionsTest : public ::testing::Test {
 protected:
  // A session that does not read, with `bytes` queued.
  RecordingSessionPtr Slow(const std::string& topic, std::size_t bytes) {
    auto session = node_.Add({.capacity = 0});
    EXPECT_TRUE(node_.Subscribe(*session, topic).ok());
    Send(topic, bytes);
    return session;
  }
  void Send(const std::string& topic, std::size_t bytes) {
    EXPECT_TRUE(node_.Publish(topic, std::string(bytes, 'x')).ok());
    RunOn(node_.shard(), [] {});
  }
  bool Closed(const RecordingSessionPtr& session) {
    return RunOn(node_.shard(), [&] {
      return !session->closes().empty() &&
             session->closes().back().code == CloseCode::kSlowConsumer;
    });
  }
  SlowSessions& slow() { return node_.shard().slow_sessions(); }

  Node node_{1, SmallTotal()};
};

TEST_F(SlowSessionsTest, G5WhereAllHoldTooMuchTheSlowestGoes) {
  const auto slowest = Slow("live/a", 100'000), slow_too = Slow("live/b", 60'000),
             last = Slow("live/c", 30'000);
  Send("live/c", 20'000);
  EXPECT_TRUE(Closed(slowest));
  EXPECT_FALSE(Closed(slow_too));
  EXPECT_FALSE(Closed(last)) << "it asked for room, and is not the slowest";
  EXPECT_EQ(slow().closed(SlowSessions::Reason::kOutbound), 1u);
}

TEST_F(SlowSessionsTest, G5MemoryIsFreedFromTheSlowestAndNeverFromWhoHoldsLittle) {
  const auto slowest = Slow("live/a", 100'000), slow_too = Slow("live/b", 60'000),
             little = Slow("live/c", 1000);
  const auto close = [&](std::size_t bytes) {
    RunOn(node_.shard(), [&] { slow().CloseAtOnce(bytes, SlowSessions::Reason::kMemory); });
  };
  close(50'000);
  EXPECT_TRUE(Closed(slowest));
  EXPECT_TRUE(slowest->closes().back().at_once);
  EXPECT_FALSE(Closed(slow_too));
  close(10'000'000);
  EXPECT_TRUE(Closed(slow_too));
  EXPECT_FALSE(Closed(little));
  EXPECT_EQ(slow().closed(SlowSessions::Reason::kMemory), 2u);
}

TEST_F(SlowSessionsTest, G5FullSocketsAreBoundedTogether) {
  const auto slowest = Slow("live/a", 100'000);
  RunOn(node_.shard(), [&] {
    slow().SetLimits({.socket_bytes_total = 1000, .send_buffer_bytes = 600});
    slow().OnBlocked();
  });
  EXPECT_FALSE(Closed(slowest));
  RunOn(node_.shard(), [&] { slow().OnBlocked(); });
  EXPECT_TRUE(Eventually([&] { return Closed(slowest); }));
  EXPECT_EQ(slow().closed(SlowSessions::Reason::kSockets), 1u);
  RunOn(node_.shard(), [&] { slow().OnUnblocked(); });
  EXPECT_EQ(slow().blocked(), 1u);
}

}  // namespace
}  // namespace herald
