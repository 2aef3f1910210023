// Messages with receipts that go out together: each receipt has to tell the same as if its message
// had gone alone.
#include "session/message_run.h"

#include <gtest/gtest.h>

#include <deque>
#include <optional>

#include "tests/session/node.h"

namespace herald {
namespace {

constexpr auto kTopic = "kept/run";

class MessageRunTest : public ::testing::Test {
 protected:
  struct Told {
    std::atomic<bool> told{false};
    Receipt::Counts counts;
  };

  // One burst, which a shard takes as one run.
  void PublishRun(int messages, Receipt::Level level = Receipt::Level::kAcked) {
    const Busy busy(node_.shard());
    for (int i = 0; i < messages; ++i) {
      Told& told = told_.emplace_back();
      auto options = std::make_shared<DeliveryOptions>();
      options->receipt = std::make_shared<Receipt>(level, [&told](const Receipt::Counts& counts) {
        told.counts = counts;
        told.told = true;
      });
      Receipt* const receipt = options->receipt.get();
      Publication publication{Body(fmt::format("{}", i)), kTopic};
      publication.options = std::move(options);
      ASSERT_TRUE(node_.Publish(std::move(publication)).ok());
      receipt->Release();  // the maker's
    }
  }
  void Acknowledge(RecordingSession& session, std::uint64_t offset) {
    RunOn(node_.shard(), [&] { session.Acknowledge(kTopic, offset); });
    node_.Settle();
  }
  bool IsTold(std::size_t i) { return told_[i].told; }
  std::uint64_t Dropped(std::size_t i, DropReason reason) {
    return told_[i].counts.dropped[static_cast<std::size_t>(reason)];
  }

  Node node_;
  std::deque<Told> told_;
};

TEST_F(MessageRunTest, AllAreWrittenToAll) {
  const auto one = node_.Add(), two = node_.Add();
  ASSERT_TRUE(node_.Subscribe(*one, kTopic).ok());
  ASSERT_TRUE(node_.Subscribe(*two, kTopic).ok());
  PublishRun(3, Receipt::Level::kWritten);
  node_.Settle();
  EXPECT_EQ(node_.ReceivedBy(*one).size(), 3u);
  EXPECT_EQ(RunOn(node_.shard(), [&] { return one->flushes(); }), 1) << "not one run";
  for (std::size_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(IsTold(i)) << i;
    EXPECT_EQ(told_[i].counts.matched, 2u);
    EXPECT_EQ(told_[i].counts.written, 2u);
    EXPECT_EQ(told_[i].counts.acked, 0u);
  }
}

TEST_F(MessageRunTest, IsAcknowledgedInPartsAndAsAWhole) {
  const auto parts = node_.Add(), whole = node_.Add();
  ASSERT_TRUE(node_.Subscribe(*parts, kTopic).ok());
  ASSERT_TRUE(node_.Subscribe(*whole, kTopic).ok());
  PublishRun(3);
  node_.Settle();
  Acknowledge(*parts, 2);
  EXPECT_FALSE(IsTold(0));
  Acknowledge(*whole, 3);
  EXPECT_TRUE(IsTold(0));
  EXPECT_TRUE(IsTold(1));
  EXPECT_FALSE(IsTold(2));
  Acknowledge(*parts, 2);  // again: nothing new
  EXPECT_FALSE(IsTold(2));
  Acknowledge(*parts, 3);
  ASSERT_TRUE(IsTold(2));
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(told_[i].counts.matched, 2u);
    EXPECT_EQ(told_[i].counts.written, 2u);
    EXPECT_EQ(told_[i].counts.acked, 2u);
  }
}

TEST_F(MessageRunTest, WhatIsNotAcknowledgedWhenASessionEndsIsDropped) {
  const auto ends = node_.Add(), stays = node_.Add();
  ASSERT_TRUE(node_.Subscribe(*ends, kTopic).ok());
  ASSERT_TRUE(node_.Subscribe(*stays, kTopic).ok());
  PublishRun(3);
  node_.Settle();
  Acknowledge(*ends, 1);
  Acknowledge(*stays, 3);
  RunOn(node_.shard(), [&] { node_.shard().Remove(*ends); });
  for (std::size_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(IsTold(i)) << i;
    EXPECT_EQ(told_[i].counts.written, 2u);
    EXPECT_EQ(told_[i].counts.acked, i == 0 ? 2u : 1u);
    EXPECT_EQ(Dropped(i, DropReason::kDisconnected), i == 0 ? 0u : 1u);
  }
}

TEST_F(MessageRunTest, AFullQueueDropsTheWholeRun) {
  const auto full = node_.Add({.max_outbound_bytes = 40, .capacity = 0}), reads = node_.Add();
  ASSERT_TRUE(node_.Subscribe(*full, kTopic).ok());
  ASSERT_TRUE(node_.Subscribe(*reads, kTopic).ok());
  PublishRun(1, Receipt::Level::kWritten);  // queued
  PublishRun(3, Receipt::Level::kWritten);  // too much: closed as slow
  node_.Settle();
  for (std::size_t i = 0; i < 4; ++i) {
    ASSERT_TRUE(IsTold(i)) << i;
    EXPECT_EQ(told_[i].counts.matched, 2u);
    EXPECT_EQ(told_[i].counts.written, 1u);
    EXPECT_EQ(Dropped(i, DropReason::kSlowConsumer), 1u) << i;
  }
}

TEST_F(MessageRunTest, ASessionThatLeavesAnswersForTheRest) {
  const auto leaves = node_.Add();
  ASSERT_TRUE(node_.Subscribe(*leaves, kTopic).ok());
  PublishRun(2);
  node_.Settle();
  RunOn(node_.shard(), [&] { leaves->Leave(kTopic); });
  for (std::size_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(IsTold(i)) << i;
    EXPECT_EQ(told_[i].counts.written, 1u);
    EXPECT_EQ(Dropped(i, DropReason::kDisconnected), 1u);
  }
}

}  // namespace
}  // namespace herald
