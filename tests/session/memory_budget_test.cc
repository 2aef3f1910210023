#include "session/memory_budget.h"

#include <gtest/gtest.h>

#include <numeric>

namespace herald {
namespace {

MemoryBudget::Held Sockets(std::uint64_t bytes) {
  MemoryBudget::Held held{};
  held[static_cast<std::size_t>(MemoryAccount::kSockets)] = bytes;
  return held;
}

TEST(MemoryBudgetTest, LevelsRiseAtOnceAndFallLate) {
  MemoryBudget budget(1000);
  EXPECT_EQ(budget.level(), MemoryLevel::kNormal);
  EXPECT_EQ(budget.Update({}, 849), MemoryLevel::kNormal);
  EXPECT_EQ(budget.Update({}, 850), MemoryLevel::kTight);
  EXPECT_EQ(budget.Update({}, 800), MemoryLevel::kTight);
  EXPECT_EQ(budget.Update({}, 950), MemoryLevel::kFull);
  EXPECT_EQ(budget.Update({}, 910), MemoryLevel::kFull);
  EXPECT_EQ(budget.Update({}, 890), MemoryLevel::kTight);
  EXPECT_EQ(budget.Update({}, 779), MemoryLevel::kNormal);
}

TEST(MemoryBudgetTest, G5KernelBuffersCountBesideTheResidentSet) {
  MemoryBudget budget(1000);
  EXPECT_EQ(budget.Update(Sockets(500), 400), MemoryLevel::kTight);
  EXPECT_EQ(budget.used(), 900u);
  EXPECT_EQ(budget.held(MemoryAccount::kSockets), 500u);
  EXPECT_EQ(budget.excess(), 0u);
  EXPECT_EQ(budget.Update(Sockets(600), 400), MemoryLevel::kFull);
  EXPECT_EQ(budget.excess(), 100u);
}

TEST(MemoryBudgetTest, SmallMessagesPassUntilItIsFull) {
  EXPECT_TRUE(TakesMessage(MemoryLevel::kNormal, 1 << 20));
  EXPECT_TRUE(TakesMessage(MemoryLevel::kTight, kSmallMessageBytes));
  EXPECT_FALSE(TakesMessage(MemoryLevel::kTight, kSmallMessageBytes + 1));
  EXPECT_FALSE(TakesMessage(MemoryLevel::kFull, 0));
}

TEST(MemorySharesTest, TogetherTheyAreTheWhole) {
  EXPECT_EQ(std::accumulate(kMemoryPercent.begin(), kMemoryPercent.end(), std::uint64_t{0}), 100u);
}

}  // namespace
}  // namespace herald
