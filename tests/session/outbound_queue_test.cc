#include "session/outbound_queue.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>

namespace herald {
namespace {

FramePtr Bytes(std::string bytes, std::uint32_t messages = 1) {
  auto frame = std::make_shared<Frame>();
  frame->bytes = std::move(bytes);
  frame->messages = messages;
  return frame;
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
  OutboundQueue queue(10);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.bytes(), 0u);
  EXPECT_EQ(Gathered(queue), "");
}

TEST(OutboundQueueTest, GathersFramesInOrder) {
  OutboundQueue queue(100);
  queue.Push(Bytes("one"));
  queue.Push(Bytes("two"));
  queue.Push(Bytes("three"));
  EXPECT_EQ(Gathered(queue), "onetwothree");
  EXPECT_EQ(queue.bytes(), 11u);
  EXPECT_EQ(queue.frames(), 3u);
}

TEST(OutboundQueueTest, GathersNoMoreThanThereIsRoomFor) {
  OutboundQueue queue(100);
  for (const char* text : {"a", "b", "c"}) queue.Push(Bytes(text));
  EXPECT_EQ(Gathered(queue, 2), "ab");
  EXPECT_EQ(Gathered(queue, 0), "");
}

TEST(OutboundQueueTest, GoesOnInTheMiddleOfAFrameThatWasPartlyWritten) {
  OutboundQueue queue(100);
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
  EXPECT_EQ(queue.popped(), 1u);
  EXPECT_EQ(queue.bytes(), 3u);
  queue.Consume(3);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.messages_written(), 5u);
  EXPECT_EQ(queue.bytes_written(), 10u);
}

TEST(OutboundQueueTest, WritesTheSameBytesHoweverTheSocketCutsThem) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    OutboundQueue queue(1 << 20);
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
  OutboundQueue queue(10);
  queue.Push(Bytes("123456"));
  EXPECT_TRUE(queue.Fits(4));
  EXPECT_FALSE(queue.Fits(5));
  queue.Consume(2);  // what is on the wire does not count any more
  EXPECT_TRUE(queue.Fits(6));
  EXPECT_FALSE(queue.Fits(7));
}

TEST(OutboundQueueTest, AnEmptyQueueTakesOneFrameOfAnySize) {
  OutboundQueue queue(10);
  EXPECT_TRUE(queue.Fits(1000));
  queue.Push(Bytes("x"));
  EXPECT_FALSE(queue.Fits(1000));
}

TEST(OutboundQueueTest, DropsWhatIsUnsent) {
  OutboundQueue queue(100);
  queue.Push(Bytes("one", 1));
  queue.Push(Bytes("two", 5));
  EXPECT_EQ(queue.DropUnsent(), 6u);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.bytes(), 0u);
  EXPECT_EQ(queue.messages_written(), 0u);
  EXPECT_EQ(queue.DropUnsent(), 0u);
}

TEST(OutboundQueueTest, FinishesTheFrameOnTheWireWhenTheRestIsDropped) {
  OutboundQueue queue(100);
  queue.Push(Bytes("gone"));
  queue.Push(Bytes("head", 2));
  queue.Push(Bytes("tail", 3));
  queue.Consume(5);
  EXPECT_EQ(queue.DropUnsent(), 3u);
  EXPECT_EQ(Gathered(queue), "ead");
  EXPECT_EQ(queue.bytes(), 3u);
  queue.Push(Bytes("close", 0));
  EXPECT_EQ(Gathered(queue), "eadclose");
  queue.Consume(8);
  EXPECT_EQ(queue.messages_written(), 3u);
  EXPECT_TRUE(queue.empty());
}

TEST(OutboundQueueTest, CountsFramesForThoseWhoWaitForThem) {
  OutboundQueue queue(100);
  queue.Push(Bytes("aa"));
  queue.Push(Bytes("bb"));
  EXPECT_EQ(queue.pushed(), 2u);
  queue.Consume(3);
  EXPECT_EQ(queue.popped(), 1u);
  EXPECT_EQ(queue.pushed(), 2u);
}

// Beast waits so for its pong: it would wait for ever, and hold up the close.
TEST(OutboundQueueTest, ADroppedFrameIsNotWaitedFor) {
  OutboundQueue queue(100);
  queue.Push(Bytes("data"));
  queue.Consume(1);
  queue.Push(Bytes("pong", 0));
  const std::uint64_t pong = queue.pushed();
  queue.DropUnsent();
  EXPECT_EQ(queue.pushed(), pong);
  queue.Push(Bytes("close", 0));
  const std::uint64_t close = queue.pushed();
  EXPECT_GT(close, pong);
  queue.Consume(3);  // the rest of the data
  EXPECT_EQ(queue.popped(), pong);
  queue.Consume(5);
  EXPECT_EQ(queue.popped(), close);
}

TEST(OutboundQueueTest, DropsEverythingOnceTheConnectionHasEnded) {
  OutboundQueue queue(100);
  queue.Push(Bytes("head", 2));
  queue.Push(Bytes("tail", 3));
  queue.Consume(1);
  EXPECT_EQ(queue.DropAll(), 5u);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.bytes(), 0u);
  EXPECT_EQ(queue.popped(), 2u);
  EXPECT_EQ(queue.DropAll(), 0u);
  queue.Push(Bytes("new"));
  EXPECT_EQ(Gathered(queue), "new");
}

TEST(OutboundQueueTest, LetsFramesGoAsSoonAsTheyAreWritten) {
  OutboundQueue queue(100);
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
  OutboundQueue queue(100);
  const FramePtr frame = Bytes("x");
  queue.Push(frame);
  for (int i = 0; i < 100'000; ++i) {
    queue.Push(frame);
    queue.Consume(1);
  }
  EXPECT_EQ(queue.frames(), 1u);
  EXPECT_EQ(queue.pushed(), 100'001u);
  EXPECT_EQ(frame.use_count(), 2);
}

}  // namespace
}  // namespace herald
