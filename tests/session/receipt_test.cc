#include "session/receipt.h"

#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "session/receipt_clock.h"

namespace herald {
namespace {

using Level = Receipt::Level;

std::uint64_t Of(const Receipt::Counts& counts, DropReason reason) {
  return counts.dropped[static_cast<std::size_t>(reason)];
}
std::uint64_t DroppedSessions(const Receipt::Counts& counts) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    if (i != static_cast<std::size_t>(DropReason::kNoSession)) sum += counts.dropped[i];
  }
  return sum;
}

class ReceiptTest : public ::testing::Test {
 protected:
  ReceiptPtr Make(Level level) {
    return std::make_shared<Receipt>(level, [this](const Receipt::Counts& counts) {
      EXPECT_FALSE(counts_.has_value()) << "told twice";
      counts_ = counts;
    });
  }

  std::optional<Receipt::Counts> counts_;
};

TEST_F(ReceiptTest, IsFinalWhenAllSessionsGotThere) {
  const ReceiptPtr receipt = Make(Level::kWritten);
  receipt->Matched();
  receipt->Matched();
  receipt->Release();
  receipt->Written();
  EXPECT_FALSE(counts_);
  EXPECT_FALSE(receipt->final());
  receipt->Written();
  ASSERT_TRUE(counts_);
  EXPECT_TRUE(receipt->final());
  EXPECT_EQ(counts_->matched, 2u);
  EXPECT_EQ(counts_->written, 2u);
  EXPECT_EQ(counts_->acked, 0u);
  EXPECT_EQ(DroppedSessions(*counts_), 0u);
}

TEST_F(ReceiptTest, IsNotFinalWhileSomebodyHoldsIt) {
  const ReceiptPtr receipt = Make(Level::kWritten);
  receipt->Hold();
  receipt->Matched();
  receipt->Written();
  receipt->Release();
  EXPECT_FALSE(counts_);
  receipt->Release();
  EXPECT_TRUE(counts_);
}

TEST_F(ReceiptTest, AcksEndItAtItsLevelOnly) {
  const ReceiptPtr receipt = Make(Level::kAcked);
  receipt->Matched();
  receipt->Release();
  receipt->Written();
  EXPECT_FALSE(counts_);
  receipt->Acked();
  ASSERT_TRUE(counts_);
  EXPECT_EQ(counts_->written, 1u);
  EXPECT_EQ(counts_->acked, 1u);
}

TEST_F(ReceiptTest, WithoutASessionItIsFinalAtOnce) {
  const ReceiptPtr receipt = Make(Level::kAcked);
  receipt->NoSession();
  receipt->NoSession();
  receipt->Release();
  ASSERT_TRUE(counts_);
  EXPECT_EQ(counts_->matched, 0u);
  EXPECT_EQ(Of(*counts_, DropReason::kNoSession), 2u);
}

TEST_F(ReceiptTest, AnExpiryTellsOpenSessionsAsTimeoutOrAsAway) {
  const ReceiptPtr receipt = Make(Level::kAcked);
  for (int i = 0; i < 5; ++i) receipt->Matched();
  receipt->Release();
  for (int i = 0; i < 4; ++i) receipt->Written();
  receipt->Acked();
  receipt->Dropped(DropReason::kExpired);
  receipt->Away(DropReason::kDisconnected);
  receipt->Away(DropReason::kSlowConsumer);
  receipt->Back(DropReason::kSlowConsumer);
  receipt->Expire();
  ASSERT_TRUE(counts_);
  EXPECT_EQ(counts_->matched, 5u);
  EXPECT_EQ(counts_->written, 4u);
  EXPECT_EQ(counts_->acked, 1u);
  EXPECT_EQ(Of(*counts_, DropReason::kExpired), 1u);
  EXPECT_EQ(Of(*counts_, DropReason::kDisconnected), 1u);
  EXPECT_EQ(Of(*counts_, DropReason::kSlowConsumer), 0u);
  EXPECT_EQ(Of(*counts_, DropReason::kTimeout), 2u);
  receipt->Acked();  // too late to count
  receipt->Expire();
  EXPECT_EQ(counts_->acked, 1u);
}

TEST_F(ReceiptTest, OneThatIsCancelledTellsNothing) {
  const ReceiptPtr receipt = Make(Level::kWritten);
  receipt->Matched();
  receipt->Cancel();
  receipt->Written();
  receipt->Expire();
  receipt->Release();
  EXPECT_FALSE(counts_);
  EXPECT_TRUE(receipt->final());
}

// Whatever meets whatever: it is told once, the parts make the whole, and nothing is overstated.
TEST_F(ReceiptTest, TheBooksBalanceHoweverThreadsMeet) {
  for (int round = 0; round < 300; ++round) {
    std::atomic<int> told{0};
    Receipt::Counts counts;
    const Level level = round % 2 == 0 ? Level::kWritten : Level::kAcked;
    std::atomic<std::uint64_t> acked{0};
    const auto receipt = std::make_shared<Receipt>(level, [&](const Receipt::Counts& final) {
      counts = final;
      told.fetch_add(1);
    });
    std::vector<std::thread> shards;
    for (int shard = 0; shard < 3; ++shard) {
      receipt->Hold();
      shards.emplace_back([&, shard] {
        std::mt19937 random(static_cast<unsigned>(round * 7 + shard));
        for (int i = 0; i < 20; ++i) {
          receipt->Matched();
          if (random() % 4 == 0) {
            receipt->Dropped(DropReason::kSlowConsumer);
            continue;
          }
          receipt->Written();
          if (level != Level::kAcked) continue;
          if (random() % 4 == 0) {
            receipt->Away(DropReason::kDisconnected);
          } else {
            acked.fetch_add(1);
            receipt->Acked();
          }
        }
        receipt->Release();
      });
    }
    if (round % 3 == 0) receipt->Expire();
    receipt->Release();
    for (std::thread& shard : shards) shard.join();
    receipt->Expire();
    ASSERT_EQ(told.load(), 1);
    EXPECT_LE(counts.acked, acked.load());
    EXPECT_LE(counts.acked, counts.written);
    const std::uint64_t reached = level == Level::kAcked ? counts.acked : counts.written;
    EXPECT_EQ(counts.matched, reached + DroppedSessions(counts));
  }
}

TEST(ReceiptClockTest, EndsWhatIsDueAndKeepsNothingAlive) {
  ReceiptClock clock;
  const absl::Time now = absl::FromUnixSeconds(1'000'000);
  int ended = 0;
  const auto make = [&] {
    return std::make_shared<Receipt>(Level::kAcked, [&](const Receipt::Counts&) { ++ended; });
  };
  const ReceiptPtr soon = make(), late = make();
  clock.Schedule(soon, now + absl::Milliseconds(250));
  clock.Schedule(late, now + absl::Seconds(60));
  {
    const ReceiptPtr gone = make();
    clock.Schedule(gone, now + absl::Milliseconds(250));
  }
  clock.Advance(now + absl::Milliseconds(250));
  EXPECT_EQ(ended, 0) << "never early";
  clock.Advance(now + absl::Milliseconds(250) + ReceiptClock::kTick);
  EXPECT_EQ(ended, 1);
  EXPECT_TRUE(soon->final());
  clock.Advance(now + absl::Seconds(61));
  EXPECT_EQ(ended, 2);
}

}  // namespace
}  // namespace herald
