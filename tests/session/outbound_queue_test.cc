#include "session/outbound_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace herald {
namespace {

using ::testing::ElementsAre;

FramePtr Bytes(std::string bytes, std::uint32_t messages = 1) {
  auto frame = std::make_shared<Frame>();
  frame->bytes = std::move(bytes);
  frame->messages = messages;
  return frame;
}

// What an observer hears, as text.
struct Recorder : OutboundQueue::Observer {
  void OnFilled() override { ++filled; }
  void OnWritten(const Outbound& gone) override {
    heard.push_back("written " + gone.run->first()->body().payload);
  }
  void OnDropped(const Outbound& gone, DropReason reason) override {
    heard.push_back(std::string(gone.gap ? "gap " : "") +
                    kDropReasonNames[static_cast<int>(reason)] + " " +
                    gone.run->first()->body().payload);
  }
  std::vector<std::string> heard;
  int filled = 0;
};

struct TestQueue : private Recorder, public OutboundQueue {
  using Recorder::filled;
  explicit TestQueue(std::size_t max_bytes) : OutboundQueue(max_bytes, *this) {}
  std::vector<std::string> TakeHeard() { return std::exchange(heard, {}); }
};

// A message whose frame is its payload.
Outbound Said(std::string payload, std::string topic = "a", DeliveryOptions options = {},
              Overflow overflow = Overflow::kDisconnect) {
  MessageBody body;
  body.payload = payload;
  auto frame = std::make_shared<Frame>();
  frame->bytes = std::move(payload);
  frame->topic = TopicHash(topic);
  auto message = std::make_shared<const Message>(
      std::make_shared<const MessageBody>(std::move(body)), std::move(topic), Position{},
      std::make_shared<const DeliveryOptions>(std::move(options)));
  return {std::move(frame), std::make_shared<MessageRun>(std::vector<MessagePtr>{message}),
          overflow};
}

std::string Gathered(const OutboundQueue& queue, std::size_t buffers = 16) {
  std::vector<iovec> out(buffers);
  std::string bytes;
  const std::size_t n = queue.Gather(out);
  for (std::size_t i = 0; i < n; ++i) {
    bytes.append(static_cast<const char*>(out[i].iov_base), out[i].iov_len);
  }
  return bytes;
}

TEST(OutboundQueueTest, IsEmptyAtFirst) {
  TestQueue queue(10);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.bytes(), 0u);
  EXPECT_EQ(Gathered(queue), "");
}

TEST(OutboundQueueTest, TellsWhenItIsEmptyNoMore) {
  TestQueue queue(100);
  queue.Push(Said("one"));
  queue.Push(Said("two"));
  EXPECT_EQ(queue.filled, 1);
  queue.Consume(6);
  queue.PushAhead(Said("three"));
  queue.PushAhead(Said("four"));
  EXPECT_EQ(queue.filled, 2);
}

TEST(OutboundQueueTest, GathersFramesInOrder) {
  TestQueue queue(100);
  queue.Push(Bytes("one"));
  queue.Push(Bytes("two"));
  queue.Push(Bytes("three"));
  EXPECT_EQ(Gathered(queue), "onetwothree");
  EXPECT_EQ(queue.bytes(), 11u);
  EXPECT_EQ(queue.frames(), 3u);
}

TEST(OutboundQueueTest, GathersNoMoreThanThereIsRoomFor) {
  TestQueue queue(100);
  for (const char* text : {"a", "b", "c"}) queue.Push(Bytes(text));
  EXPECT_EQ(Gathered(queue, 2), "ab");
  EXPECT_EQ(Gathered(queue, 0), "");
}

TEST(OutboundQueueTest, GoesOnInTheMiddleOfAFrameThatWasPartlyWritten) {
  TestQueue queue(100);
  queue.Push(Bytes("hello", 2));
  queue.Push(Bytes("world", 3));
  queue.Consume(2);
  EXPECT_EQ(Gathered(queue), "lloworld");
  EXPECT_EQ(queue.messages_written(), 0u);
  queue.Consume(2);
  EXPECT_EQ(Gathered(queue), "oworld");
  queue.Consume(3);  // across the border
  EXPECT_EQ(Gathered(queue), "rld");
  EXPECT_EQ(queue.messages_written(), 2u);
  EXPECT_EQ(queue.frames(), 1u);
  EXPECT_EQ(queue.bytes(), 3u);
  queue.Consume(3);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.messages_written(), 5u);
  EXPECT_EQ(queue.bytes_written(), 10u);
}

TEST(OutboundQueueTest, WritesTheSameBytesHoweverTheSocketCutsThem) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    TestQueue queue(1 << 20);
    std::string pushed, written;
    for (int step = 0; step < 100; ++step) {
      for (unsigned frames = random() % 4; frames > 0; --frames) {
        const std::string bytes(random() % 20 + 1, static_cast<char>('a' + random() % 26));
        pushed += bytes;
        queue.Push(Bytes(bytes));
      }
      const std::string waiting = Gathered(queue, random() % 5 + 1);
      const std::size_t n = random() % (waiting.size() + 1);
      written += waiting.substr(0, n);
      queue.Consume(n);
    }
    ASSERT_EQ(written + Gathered(queue, 1000), pushed);
  }
}

TEST(OutboundQueueTest, IsFullPastItsLimit) {
  TestQueue queue(10);
  queue.Push(Bytes("123456"));
  EXPECT_TRUE(queue.Fits(4));
  EXPECT_FALSE(queue.Fits(5));
  queue.Consume(2);  // what is on the wire does not count any more
  EXPECT_TRUE(queue.Fits(6));
  EXPECT_FALSE(queue.Fits(7));
}

TEST(OutboundQueueTest, AnEmptyQueueTakesOneFrameOfAnySize) {
  TestQueue queue(10);
  EXPECT_TRUE(queue.Fits(1000));
  queue.Push(Bytes("x"));
  EXPECT_FALSE(queue.Fits(1000));
}

TEST(OutboundQueueTest, DropsWhatIsUnsent) {
  TestQueue queue(100);
  queue.Push(Bytes("one", 1));
  queue.Push(Bytes("two", 5));
  EXPECT_EQ(queue.DropUnsent(DropReason::kSlowConsumer), 6u);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.bytes(), 0u);
  EXPECT_EQ(queue.messages_written(), 0u);
  EXPECT_EQ(queue.DropUnsent(DropReason::kSlowConsumer), 0u);
}

TEST(OutboundQueueTest, FinishesTheFrameOnTheWireWhenTheRestIsDropped) {
  TestQueue queue(100);
  queue.Push(Bytes("gone"));
  queue.Push(Bytes("head", 2));
  queue.Push(Bytes("tail", 3));
  queue.Consume(5);
  EXPECT_EQ(queue.DropUnsent(DropReason::kSlowConsumer), 3u);
  EXPECT_EQ(Gathered(queue), "ead");
  EXPECT_EQ(queue.bytes(), 3u);
  queue.Push(Bytes("close", 0));
  EXPECT_EQ(Gathered(queue), "eadclose");
  queue.Consume(8);
  EXPECT_EQ(queue.messages_written(), 3u);
  EXPECT_TRUE(queue.empty());
}

TEST(OutboundQueueTest, CountsFramesForThoseWhoWaitForThem) {
  TestQueue queue(100);
  queue.Push(Bytes("aa"));
  queue.Push({Bytes("bb", 0), nullptr, Overflow::kDisconnect, Tracking::kNone, false, true});
  queue.Consume(3);
  EXPECT_EQ(queue.awaited_gone(), 0u);
  queue.Consume(1);
  EXPECT_EQ(queue.awaited_gone(), 1u);
}

// Beast waits so for its pong: it would wait for ever, and hold up the close.
TEST(OutboundQueueTest, ADroppedFrameIsNotWaitedFor) {
  TestQueue queue(100);
  queue.Push(Bytes("data"));
  queue.Consume(1);
  queue.Push({Bytes("pong", 0), nullptr, Overflow::kDisconnect, Tracking::kNone, false, true});
  queue.DropUnsent(DropReason::kSlowConsumer);
  EXPECT_EQ(queue.awaited_gone(), 1u);
  queue.Push({Bytes("close", 0), nullptr, Overflow::kDisconnect, Tracking::kNone, false, true});
  queue.Consume(3);  // the rest of the data
  EXPECT_EQ(queue.awaited_gone(), 1u);
  queue.Consume(5);
  EXPECT_EQ(queue.awaited_gone(), 2u);
}

TEST(OutboundQueueTest, DropsEverythingOnceTheConnectionHasEnded) {
  TestQueue queue(100);
  queue.Push(Bytes("head", 2));
  queue.Push(Bytes("tail", 3));
  queue.Consume(1);
  EXPECT_EQ(queue.DropAll(DropReason::kDisconnected), 5u);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.bytes(), 0u);
  EXPECT_EQ(queue.DropAll(DropReason::kDisconnected), 0u);
  queue.Push(Bytes("new"));
  EXPECT_EQ(Gathered(queue), "new");
}

TEST(OutboundQueueTest, LetsFramesGoAsSoonAsTheyAreWritten) {
  TestQueue queue(100);
  FramePtr first = Bytes("first"), second = Bytes("second");
  queue.Push(first);
  queue.Push(second);
  queue.Consume(5);
  EXPECT_EQ(first.use_count(), 1);
  EXPECT_EQ(second.use_count(), 2);
  queue.Consume(6);
  EXPECT_EQ(second.use_count(), 1);
}

// A queue that never runs empty must not grow with what has passed through it.
TEST(OutboundQueueTest, ReusesTheRoomOfWhatIsWritten) {
  TestQueue queue(100);
  const FramePtr frame = Bytes("x");
  queue.Push(frame);
  for (int i = 0; i < 100'000; ++i) {
    queue.Push(frame);
    queue.Consume(1);
  }
  EXPECT_EQ(queue.frames(), 1u);
  EXPECT_EQ(frame.use_count(), 2);
}

TEST(OutboundQueueTest, TellsWhatBecomesOfMessagesThatAreAskedAfter) {
  TestQueue queue(100);
  queue.Push(Said("one"));
  queue.Push(Bytes("plain"));
  queue.Push(Said("two"));
  queue.Push(Said("three"));
  queue.Consume(3);
  EXPECT_THAT(queue.TakeHeard(), ElementsAre("written one"));
  queue.Consume(6);
  EXPECT_EQ(queue.DropUnsent(DropReason::kSlowConsumer), 1u);
  EXPECT_THAT(queue.TakeHeard(), ElementsAre("slow_consumer three"));
  EXPECT_EQ(queue.DropAll(DropReason::kDisconnected), 1u);
  EXPECT_THAT(queue.TakeHeard(), ElementsAre("disconnected two"));
}

TEST(OutboundQueueTest, ACollapseKeyReplacesWhatIsUnsentOfItsTopic) {
  TestQueue queue(1000);
  queue.Push(Said("[1]", "a", {.collapse_key = "k"}));
  queue.Push(Said("[2]", "a", {.collapse_key = "k"}));
  queue.Push(Said("[3]", "a", {.collapse_key = "other"}));
  queue.Push(Said("[4]", "b", {.collapse_key = "k"}));
  queue.Push(Said("[5]", "a"));
  queue.Consume(1);  // the first is on the wire
  const Outbound by = Said("[6]", "a", {.collapse_key = "k"});
  EXPECT_EQ(queue.DropCollapsed(*by.run->first()), 1u);
  queue.Push(by);
  EXPECT_EQ(Gathered(queue), "1][3][4][5][6]");
  EXPECT_EQ(queue.bytes(), 14u);
  EXPECT_THAT(queue.TakeHeard(), ElementsAre("collapsed [2]"));
}

// A stalled session whose messages replace each other for hours.
TEST(OutboundQueueTest, ReplacedMessagesLeaveNothingBehind) {
  TestQueue queue(1000);
  queue.Push(Bytes("stuck"));
  queue.Consume(1);
  for (int i = 0; i < 100'000; ++i) {
    const Outbound next = Said("x", "a", {.collapse_key = "k"});
    EXPECT_EQ(queue.DropCollapsed(*next.run->first()), i == 0 ? 0u : 1u);
    queue.Push(next);
    ASSERT_LE(queue.slots(), 64u);
  }
  EXPECT_EQ(Gathered(queue), "tuckx");
  EXPECT_EQ(queue.frames(), 2u);
}

TEST(OutboundQueueTest, LetsGoOfWhatHasExpired) {
  TestQueue queue(100);
  EXPECT_FALSE(queue.may_expire());
  queue.Push(Said("[1]", "a", {.expires_unix_ms = 1000}));
  queue.Push(Said("[2]", "a", {.expires_unix_ms = 2000}));
  queue.Push(Said("[3]", "a"));
  EXPECT_TRUE(queue.may_expire());
  EXPECT_EQ(queue.DropExpired(999), 0u);
  EXPECT_EQ(queue.DropExpired(1000), 1u);
  EXPECT_EQ(Gathered(queue), "[2][3]");
  queue.Consume(1);
  EXPECT_EQ(queue.DropExpired(5000), 0u);  // on the wire already
  queue.Consume(2);
  EXPECT_FALSE(queue.may_expire());
  EXPECT_THAT(queue.TakeHeard(), ElementsAre("expired [1]", "written [2]"));
}

TEST(OutboundQueueTest, HighPriorityOvertakesOtherTopicsOnly) {
  const DeliveryOptions high{.high_priority = true};
  TestQueue queue(1000);
  queue.Push(Said("[head]", "b"));
  queue.Consume(1);
  queue.Push(Said("[b1]", "b"));
  queue.Push(Said("[c1]", "c"));
  queue.PushAhead(Said("[A1]", "a", high));
  queue.PushAhead(Said("[A2]", "a", high));  // not inside its topic
  queue.PushAhead(Said("[C2]", "c", high));  // nor before c1
  EXPECT_EQ(Gathered(queue), "head][A1][A2][b1][c1][C2]");
  queue.Push(Bytes("[ctl]", 0));
  queue.Push(Said("[d1]", "d"));
  queue.PushAhead(Said("[E]", "e", high));  // control frames stay where they are
  EXPECT_EQ(Gathered(queue), "head][A1][A2][b1][c1][C2][ctl][E][d1]");
  EXPECT_EQ(queue.bytes(), Gathered(queue).size());
}

TEST(OutboundQueueTest, DropsTheOldestThatMayGoAndLeavesAGapInItsPlace) {
  TestQueue queue(20);
  queue.Push(Said("[stay]", "a"));  // its topic does not drop
  queue.Push(Said("[1]", "b", {}, Overflow::kDropOldest));
  queue.Push(Said("[2]", "b", {}, Overflow::kDropOldest));
  queue.Push(Said("[3]", "b", {}, Overflow::kDropOldest));
  bool gaps = false;
  const auto gap = [&](const MessagePtr& last) -> FramePtr {
    EXPECT_EQ(last->topic(), "b");
    return std::exchange(gaps, true) ? nullptr : Bytes("g", 0);
  };
  EXPECT_EQ(queue.DropOldest(8, gap), 2u);
  EXPECT_EQ(Gathered(queue), "[stay]g[3]");
  EXPECT_EQ(queue.bytes(), 10u);
  EXPECT_EQ(queue.frames(), 3u);
  // The gap itself does not go, and what may not go stays, whether it fits or not.
  EXPECT_EQ(queue.DropOldest(100, gap), 1u);
  EXPECT_EQ(Gathered(queue), "[stay]g");
  EXPECT_THAT(queue.TakeHeard(),
              ElementsAre("slow_consumer [1]", "slow_consumer [2]", "slow_consumer [3]"));
}

// Everything at once, against a plain list.
TEST(OutboundQueueTest, KeepsItsBooksUnderRandomUse) {
  std::mt19937 random(11);
  for (int round = 0; round < 50; ++round) {
    TestQueue queue(2000);
    std::uint64_t pushed = 0, dropped = 0;
    for (int step = 0; step < 400; ++step) {
      switch (random() % 8) {
        case 0: {
          const std::string bytes = Gathered(queue, 1000);
          EXPECT_EQ(bytes.size(), queue.bytes());
          if (!bytes.empty()) queue.Consume(random() % bytes.size() + 1);
          break;
        }
        case 1:
          dropped += queue.DropExpired(random() % 1000);
          break;
        case 2:
          dropped += queue.DropOldest(random() % 2000, [](const MessagePtr&) { return nullptr; });
          break;
        case 3: {
          const Outbound next = Said("collapse", "a", {.collapse_key = "k"});
          dropped += queue.DropCollapsed(*next.run->first());
          queue.Push(next);
          ++pushed;
          break;
        }
        case 4:
          queue.PushAhead(Said("high", std::string(1, static_cast<char>('a' + random() % 3)),
                               {.high_priority = true}));
          ++pushed;
          break;
        default:
          queue.Push(Said(std::string(random() % 50 + 1, 'x'), "b",
                          {.expires_unix_ms = static_cast<std::int64_t>(random() % 1000 + 1)},
                          random() % 2 ? Overflow::kDropOldest : Overflow::kDisconnect));
          ++pushed;
      }
      ASSERT_EQ(queue.messages_written() + dropped + queue.frames(), pushed);
      ASSERT_EQ(queue.empty(), queue.frames() == 0);
    }
    queue.DropAll(DropReason::kDisconnected);
    EXPECT_EQ(queue.bytes(), 0u);
    EXPECT_FALSE(queue.may_expire());
    EXPECT_EQ(queue.TakeHeard().size(), pushed);
  }
}

}  // namespace
}  // namespace herald
