// Who gets what, in which order, and what becomes of those who cannot take it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <future>
#include <string>
#include <vector>

#include "session/shard.h"
#include "tests/session/node.h"

namespace herald {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(ShardDeliveryTest, DeliversInOrderToAllSubscribersOfATopicAndToNoOthers) {
  Node node;
  auto one = node.Add(), two = node.Add(), other = node.Add();
  ASSERT_TRUE(node.Subscribe(*one, "kept/a").ok());
  ASSERT_TRUE(node.Subscribe(*two, "kept/a").ok());
  ASSERT_TRUE(node.Subscribe(*other, "kept/b").ok());
  for (const char* text : {"x", "y", "z"}) ASSERT_TRUE(node.Publish("kept/a", text).ok());
  node.Settle();
  const std::vector<Received> expected = {
      {"kept/a", 1, "x"}, {"kept/a", 2, "y"}, {"kept/a", 3, "z"}};
  EXPECT_EQ(node.ReceivedBy(*one), expected);
  EXPECT_EQ(node.ReceivedBy(*two), expected);
  EXPECT_THAT(node.ReceivedBy(*other), IsEmpty());
}

TEST(ShardDeliveryTest, DeliversEachTopicOnceToASessionOnTwoTopics) {
  Node node;
  auto session = node.Add();
  ASSERT_TRUE(node.Subscribe(*session, "a").ok());
  ASSERT_TRUE(node.Subscribe(*session, "b").ok());
  {
    Busy busy(node.shard());
    for (const char* topic : {"a", "b", "a"}) ASSERT_TRUE(node.Publish(topic, "x").ok());
  }
  node.Settle();
  EXPECT_THAT(node.ReceivedBy(*session),
              ElementsAre(Received{"a", 0, "x"}, Received{"b", 0, "x"}, Received{"a", 0, "x"}));
}

// "Compresses" every other message, to the same frame with an `!` behind it.
class EveryOther final : public FrameCompressor {
 public:
  bool Compress(std::string_view frame, std::string& out) const override {
    ++calls;
    const std::string payload = PayloadsOf(frame)[0];
    if (payload.back() % 2 == 0) return false;
    out = MakeFrame(Opcode::kText, payload + "!")->bytes;
    return true;
  }
  mutable std::atomic<int> calls{0};
};

TEST(ShardDeliveryTest, ARunIsMadeForEachEncodingAndSharedByItsSessions) {
  const EveryOther compressor;
  ShardOptions options;
  options.encoders = TextEncoders();
  options.encoders.compressor = &compressor;
  Node node(1, options);
  const RecordingSession::Options compressed{.capacity = 0, .encoding = {Protocol::kJson, true}};
  auto plain = node.Add({.capacity = 0});
  auto one = node.Add(compressed), two = node.Add(compressed);
  for (auto& session : {plain, one, two}) ASSERT_TRUE(node.Subscribe(*session, "a").ok());
  {
    Busy busy(node.shard());
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(node.Publish("a", std::to_string(i)).ok());
  }
  node.Settle();
  ASSERT_TRUE(node.Publish("a", "7").ok());
  node.Settle();
  EXPECT_EQ(compressor.calls, 11);
  RunOn(node.shard(), [&] {
    iovec first[2], second[2];
    ASSERT_EQ(one->queue().Gather(first), 2u);
    ASSERT_EQ(two->queue().Gather(second), 2u);
    for (int i = 0; i < 2; ++i) EXPECT_EQ(first[i].iov_base, second[i].iov_base);
    for (auto& session : {plain, one, two}) session->Allow(RecordingSession::kUnlimited);
  });
  std::vector<Received> expected = node.ReceivedBy(*plain);
  ASSERT_THAT(expected, SizeIs(11));
  for (Received& message : expected) {
    if (message.payload.back() % 2 != 0) message.payload += "!";
  }
  EXPECT_EQ(node.ReceivedBy(*one), expected);
  EXPECT_EQ(node.ReceivedBy(*two), expected);
}

TEST(ShardDeliveryTest, ABurstOfOneTopicIsOneFrameSharedByItsSessions) {
  Node node;
  auto one = node.Add({.capacity = 0}), two = node.Add({.capacity = 0});
  ASSERT_TRUE(node.Subscribe(*one, "a").ok());
  ASSERT_TRUE(node.Subscribe(*two, "a").ok());
  {
    Busy busy(node.shard());
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(node.Publish("a", std::to_string(i)).ok());
  }
  node.Settle();
  RunOn(node.shard(), [&] {
    EXPECT_EQ(one->queue().frames(), 1u);
    iovec first, second;
    ASSERT_EQ(one->queue().Gather({&first, 1}), 1u);
    ASSERT_EQ(two->queue().Gather({&second, 1}), 1u);
    EXPECT_EQ(first.iov_base, second.iov_base);
    one->Allow(RecordingSession::kUnlimited);
    EXPECT_EQ(one->messages_out(), 100u);
  });
  const auto received = node.ReceivedBy(*one);
  ASSERT_THAT(received, SizeIs(100));
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(received[static_cast<std::size_t>(i)].payload, std::to_string(i));
}

TEST(ShardDeliveryTest, AnotherTopicOrATaskEndsARunAndKeepsTheOrder) {
  Node node;
  auto session = node.Add({.capacity = 0});
  ASSERT_TRUE(node.Subscribe(*session, "a").ok());
  ASSERT_TRUE(node.Subscribe(*session, "b").ok());
  std::uint64_t seen_by_task = 0;
  {
    Busy busy(node.shard());
    for (const char* topic : {"a", "a", "b"}) ASSERT_TRUE(node.Publish(topic, "x").ok());
    node.shard().Post([&] { seen_by_task = session->queue().frames(); });
    ASSERT_TRUE(node.Publish("b", "y").ok());
  }
  node.Settle();
  EXPECT_EQ(seen_by_task, 2u);
  EXPECT_EQ(RunOn(node.shard(), [&] { return session->queue().frames(); }), 3u);
}

TEST(ShardDeliveryTest, FlushesASessionOnceABurst) {
  Node node;
  auto session = node.Add();
  for (const char* topic : {"a", "b", "c"}) ASSERT_TRUE(node.Subscribe(*session, topic).ok());
  const int before = RunOn(node.shard(), [&] { return session->flushes(); });
  {
    Busy busy(node.shard());
    for (int i = 0; i < 300; ++i) {
      ASSERT_TRUE(node.Publish(std::string(1, static_cast<char>('a' + i % 3)), "x").ok());
    }
  }
  node.Settle();
  EXPECT_THAT(node.ReceivedBy(*session), SizeIs(300));
  EXPECT_EQ(RunOn(node.shard(), [&] { return session->flushes(); }), before + 1);
}

TEST(ShardDeliveryTest, FlushesWhatIsQueuedOutsideADrain) {
  Node node;
  auto session = node.Add();
  // As a connection's read handler does.
  boost::asio::post(node.shard().io(),
                    [&] { session->Enqueue(MakeFrame(Opcode::kText, "r@0=x")); });
  EXPECT_TRUE(node.WaitReceived(*session, 1));
}

TEST(ShardDeliveryTest, LeavesOutExceptedSessionsAndUsers) {
  Node node(2);
  auto alice = node.Add({}, 0, "alice"), alice2 = node.Add({}, 1, "alice"),
       bob = node.Add({}, 0, "bob"), nobody = node.Add({}, 1);
  for (auto& session : {alice, alice2, bob, nobody})
    ASSERT_TRUE(node.Subscribe(*session, "a").ok());
  auto except = std::make_shared<Exceptions>();
  except->users.insert("alice");
  except->sessions.insert(nobody->id());
  Awaited<std::uint64_t> met;
  ASSERT_TRUE(
      node.Publish({Body("x"), "a", except, std::make_shared<Tally>(met.callback()), true}).ok());
  EXPECT_EQ(met.Get(), 1u);
  EXPECT_THAT(node.ReceivedBy(*bob), SizeIs(1));
  EXPECT_THAT(node.ReceivedBy(*alice), IsEmpty());
  EXPECT_THAT(node.ReceivedBy(*alice2), IsEmpty());
  EXPECT_THAT(node.ReceivedBy(*nobody), IsEmpty());
}

// With exceptions and without, in one burst: the order stays.
TEST(ShardDeliveryTest, KeepsTheOrderAroundAMessageWithExceptions) {
  Node node;
  auto session = node.Add();
  ASSERT_TRUE(node.Subscribe(*session, "kept/a").ok());
  {
    Busy busy(node.shard());
    for (int i = 0; i < 30; ++i) {
      ASSERT_TRUE(
          node.Publish({Body("x"), "kept/a",
                        i % 3 == 1 ? std::make_shared<const Exceptions>() : nullptr, nullptr, true})
              .ok());
    }
  }
  node.Settle();
  const auto received = node.ReceivedBy(*session);
  ASSERT_THAT(received, SizeIs(30));
  for (std::size_t i = 0; i < 30; ++i) EXPECT_EQ(received[i].offset, i + 1);
}

TEST(ShardDeliveryTest, ATallyCountsOnlySessionsThatCanGetTheMessage) {
  Node node;
  auto open = node.Add(), closing = node.Add({.remove_on_close = false});
  ASSERT_TRUE(node.Subscribe(*open, "a").ok());
  ASSERT_TRUE(node.Subscribe(*closing, "a").ok());
  RunOn(node.shard(), [&] { closing->Close({}); });
  Awaited<std::uint64_t> met;
  ASSERT_TRUE(
      node.Publish({Body("x"), "a", nullptr, std::make_shared<Tally>(met.callback()), true}).ok());
  EXPECT_EQ(met.Get(), 1u);
}

TEST(ShardDeliveryTest, ATallyOfNobodyIsZero) {
  Node node(2);
  Awaited<std::uint64_t> met;
  ASSERT_TRUE(
      node.Publish({Body("x"), "a", nullptr, std::make_shared<Tally>(met.callback()), true}).ok());
  EXPECT_EQ(met.Get(), 0u);
}

// The run was published before the subscription and is delivered after it.
TEST(ShardDeliveryTest, ASessionThatSubscribesDuringABurstGetsOnlyWhatFollowsItsStart) {
  Node node;
  auto early = node.Add(), late = node.Add(), with_history = node.Add();
  ASSERT_TRUE(node.Subscribe(*early, "kept/a").ok());
  for (bool singly : {false, true}) {
    const auto except = singly ? std::make_shared<const Exceptions>() : nullptr;
    const auto publish = [&](const char* text) {
      ASSERT_TRUE(node.Publish({Body(text), "kept/a", except, nullptr, true}).ok());
    };
    std::uint64_t start = 0;
    {
      Busy busy(node.shard());
      node.shard().Post([&] {
        // Published behind our back: in the mailbox, and at or below our start.
        for (const char* text : {"1", "2", "3"}) publish(text);
        node.shard().Subscribe(*late, "kept/a", {}, 0,
                               [&](absl::StatusOr<FeedStart> s) { start = s->position.offset; });
        for (const char* text : {"4", "5"}) publish(text);
      });
    }
    node.Settle();
    node.Settle();
    EXPECT_THAT(node.ReceivedBy(*late), ElementsAre(Received{"kept/a", start + 1, "4"},
                                                    Received{"kept/a", start + 2, "5"}));
    RunOn(node.shard(), [&] { node.shard().Remove(*late); });
    late = node.Add();
  }
  EXPECT_THAT(node.ReceivedBy(*early), SizeIs(10));
}

TEST(ShardDeliveryTest, MissedMessagesComeBeforeLiveOnesWithoutAGapOrARepeat) {
  Node node;
  auto keeper = node.Add(), session = node.Add();
  ASSERT_TRUE(node.Subscribe(*keeper, "kept/a").ok());
  const auto first = node.Publish("kept/a", "1");
  ASSERT_TRUE(first.ok());
  {
    Busy busy(node.shard());
    for (const char* text : {"2", "3"}) ASSERT_TRUE(node.Publish("kept/a", text).ok());
    node.shard().Post([&] {
      node.shard().Subscribe(*session, "kept/a", first->position, 0,
                             [&](absl::StatusOr<FeedStart> start) {
                               EXPECT_TRUE(start->recovered);
                               for (const auto& message : start->missed) session->Deliver(message);
                             });
    });
    ASSERT_TRUE(node.Publish("kept/a", "4").ok());
  }
  node.Settle();
  EXPECT_THAT(node.ReceivedBy(*session),
              ElementsAre(Received{"kept/a", 2, "2"}, Received{"kept/a", 3, "3"},
                          Received{"kept/a", 4, "4"}));
}

TEST(ShardDeliveryTest, LiveOnlyMessagesReachWhoeverIsThere) {
  Node node;
  auto session = node.Add();
  ASSERT_TRUE(node.Publish("kept/a", "before").ok());
  ASSERT_TRUE(node.Subscribe(*session, "kept/a").ok());
  {
    Busy busy(node.shard());
    ASSERT_TRUE(node.Publish("kept/a", "live", /*keep=*/false).ok());
    ASSERT_TRUE(node.Publish("kept/a", "kept").ok());
  }
  node.Settle();
  EXPECT_THAT(node.ReceivedBy(*session),
              ElementsAre(Received{"kept/a", 0, "live"}, Received{"kept/a", 2, "kept"}));
}

TEST(ShardDeliveryTest, ASlowConsumerIsClosedAndWhatItLosesIsCounted) {
  Node node;
  auto slow = node.Add({.max_outbound_bytes = 100, .capacity = 0, .remove_on_close = false}),
       fast = node.Add();
  ASSERT_TRUE(node.Subscribe(*slow, "a").ok());
  ASSERT_TRUE(node.Subscribe(*fast, "a").ok());
  int sent = 0;
  while (RunOn(node.shard(), [&] { return slow->closes().empty(); })) {
    ASSERT_LT(sent, 100);
    ASSERT_TRUE(node.Publish("a", "0123456789").ok());
    ++sent;
  }
  EXPECT_GT(sent, 3);
  RunOn(node.shard(), [&] {
    ASSERT_THAT(slow->closes(), SizeIs(1));
    EXPECT_EQ(slow->closes()[0].code, CloseCode::kSlowConsumer);
    EXPECT_EQ(slow->dropped()[static_cast<int>(DropReason::kSlowConsumer)],
              static_cast<std::uint64_t>(sent));
    EXPECT_TRUE(slow->queue().empty());
    EXPECT_EQ(node.shard().stats().dropped[static_cast<int>(DropReason::kSlowConsumer)],
              static_cast<std::uint64_t>(sent));
    EXPECT_EQ(node.shard().stats().queued_bytes, 0);
  });
  ASSERT_TRUE(node.Publish("a", "after").ok());
  node.Settle();
  EXPECT_THAT(node.ReceivedBy(*slow), IsEmpty());
  EXPECT_THAT(node.ReceivedBy(*fast), SizeIs(static_cast<std::size_t>(sent) + 1));
}

TEST(ShardDeliveryTest, AConsumerThatTakesWhatItIsGivenIsNotSlow) {
  Node node;
  auto session = node.Add({.max_outbound_bytes = 100});
  ASSERT_TRUE(node.Subscribe(*session, "a").ok());
  {
    Busy busy(node.shard());
    for (int i = 0; i < 50; ++i) {  // singly: no run to hold them together
      ASSERT_TRUE(node.Publish({Body("0123456789"), "a", std::make_shared<const Exceptions>(),
                                nullptr, true})
                      .ok());
    }
  }
  node.Settle();
  EXPECT_THAT(node.ReceivedBy(*session), SizeIs(50));
  EXPECT_THAT(session->closes(), IsEmpty());
}

TEST(ShardDeliveryTest, TheShardsOwnLimitClosesThoseThatCannotBeWritten) {
  Node node(1, {.max_outbound_bytes = 200});
  auto one = node.Add({.capacity = 0}), two = node.Add({.capacity = 0}), fast = node.Add();
  for (auto& session : {one, two, fast}) ASSERT_TRUE(node.Subscribe(*session, "a").ok());
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(node.Publish("a", "0123456789").ok());
    node.Settle();
    EXPECT_LE(node.shard().stats().queued_bytes, 200);
  }
  EXPECT_THAT(node.ReceivedBy(*fast), SizeIs(30));
  EXPECT_TRUE(!one->closes().empty() || !two->closes().empty());
}

TEST(ShardDeliveryTest, SessionsMayBeRemovedWhileTheyAreDeliveredTo) {
  Node node;
  std::vector<RecordingSessionPtr> sessions;
  for (int i = 0; i < 10; ++i) {
    // Every other one is full at the second message, and removes itself.
    sessions.push_back(
        node.Add({.max_outbound_bytes = 20, .capacity = i % 2 ? 0 : RecordingSession::kUnlimited}));
    ASSERT_TRUE(node.Subscribe(*sessions.back(), "kept/a").ok());
  }
  for (bool singly : {false, true, true}) {
    ASSERT_TRUE(
        node.Publish({Body("0123456789"), "kept/a",
                      singly ? std::make_shared<const Exceptions>() : nullptr, nullptr, true})
            .ok());
  }
  node.Settle();
  for (std::size_t i = 0; i < 10; ++i) {
    if (i % 2 == 0) {
      EXPECT_THAT(node.ReceivedBy(*sessions[i]), SizeIs(3));
    } else {
      EXPECT_THAT(sessions[i]->closes(), SizeIs(1));
    }
  }
  EXPECT_EQ(node.shard().stats().sessions, 5u);
  EXPECT_EQ(node.index().Find("kept/a").subscribers, 5u);
  EXPECT_EQ(node.shard().stats().queued_bytes, 0);
}

// Bytes that were never written must not count for ever, nor the message that was cut go uncounted.
TEST(ShardDeliveryTest, ASessionThatEndsInTheMiddleOfAFrameLeavesNothingBehind) {
  Node node;
  auto session = node.Add({.capacity = 5});
  ASSERT_TRUE(node.Subscribe(*session, "a").ok());
  ASSERT_TRUE(node.Publish("a", "partly on the wire").ok());
  ASSERT_TRUE(node.Publish("a", "not at all").ok());
  node.Settle();
  EXPECT_GT(node.shard().stats().queued_bytes, 0);
  RunOn(node.shard(), [&] { node.shard().Remove(*session); });
  EXPECT_EQ(node.shard().stats().queued_bytes, 0);
  EXPECT_EQ(node.shard().stats().dropped[static_cast<int>(DropReason::kDisconnected)], 2u);
  EXPECT_EQ(RunOn(node.shard(),
                  [&] { return session->dropped()[static_cast<int>(DropReason::kDisconnected)]; }),
            2u);
}

}  // namespace
}  // namespace herald
