#include "service/call_memory.h"

#include <gtest/gtest.h>

namespace herald {
namespace {

CallMemory::Share NewShare() { return std::make_shared<std::atomic<std::uint64_t>>(0); }

TEST(CallMemoryTest, OneProducerHasHalfAndAllTheWhole) {
  CallMemory memory(1000);
  const CallMemory::Share one = NewShare(), other = NewShare();
  CallMemory::Hold a(memory, one), b(memory, one), c(memory, other);
  EXPECT_TRUE(a.TrySet(400));
  EXPECT_FALSE(b.TrySet(200)) << "600 of one producer";
  EXPECT_EQ(b.bytes(), 0u);
  EXPECT_TRUE(b.TrySet(100));
  EXPECT_TRUE(c.TrySet(500)) << "the half of the other is left";
  CallMemory::Hold nameless(memory, nullptr);
  EXPECT_FALSE(nameless.TrySet(1));
  EXPECT_EQ(memory.bytes(), 1000u);
  EXPECT_EQ(memory.limited(), 2u);
}

TEST(CallMemoryTest, WhatIsThereCountsAndIsGivenBack) {
  CallMemory memory(1000);
  const CallMemory::Share share = NewShare();
  {
    CallMemory::Hold hold(memory, share);
    EXPECT_TRUE(hold.Alone());
    hold.Set(5000);
    CallMemory::Hold another(memory, share);
    another.Set(1);
    EXPECT_FALSE(hold.Alone());
    another.Set(0);
    EXPECT_TRUE(hold.Alone());
    EXPECT_FALSE(hold.WithinLimits());
    EXPECT_TRUE(hold.TrySet(4000)) << "less is always possible";
    EXPECT_EQ(*share, 4000u);
  }
  EXPECT_EQ(memory.bytes(), 0u);
  EXPECT_EQ(*share, 0u);
}

TEST(CallMemoryTest, TwoProducersDoNotKeepAThirdOut) {
  CallMemory memory(1600);
  CallMemory::Hold a(memory, NewShare()), b(memory, NewShare()), c(memory, NewShare());
  EXPECT_TRUE(a.TrySet(800));
  EXPECT_TRUE(b.TrySet(800));
  EXPECT_TRUE(c.HasRoom());
  EXPECT_TRUE(c.TrySet(100));
  EXPECT_FALSE(c.TrySet(101));
}

TEST(CallMemoryTest, NothingNewBeginsInTheLastQuarter) {
  CallMemory memory(1000);
  CallMemory::Hold a(memory, NewShare()), b(memory, NewShare());
  a.Set(380);
  EXPECT_FALSE(a.HasRoom());
  EXPECT_TRUE(a.WithinLimits());
  EXPECT_TRUE(b.HasRoom());
  b.Set(375);
  EXPECT_FALSE(b.HasRoom()) << "755 in all";
  memory.SetMax(2000);
  EXPECT_TRUE(a.HasRoom());
}

}  // namespace
}  // namespace herald
