#include "app/descriptor_budget.h"

#include <gtest/gtest.h>

namespace herald {
namespace {

constexpr std::uint64_t kMuchMemory = 64 * kGiB;

DescriptorBudget Divide(std::uint64_t open_files, Limits limits = {},
                        std::uint64_t memory = kMuchMemory, bool tls = false) {
  return DivideDescriptors(open_files, limits, memory, tls);
}

TEST(DescriptorBudgetTest, G4AReserveIsKeptAtEachLimit) {
  for (const std::uint64_t open_files : {256, 512, 1024, 4096, 15'000, 20'000, 1'048'576}) {
    const DescriptorBudget budget = Divide(open_files);
    const std::uint64_t reserve = open_files - budget.max_connections;
    EXPECT_GE(reserve, std::min<std::uint64_t>(open_files / 2, 192)) << open_files;
    // Evicted connections that are not closed yet (admission.h), and then still something.
    EXPECT_GT(reserve, budget.max_connections / 128 + 16) << open_files;
    EXPECT_LT(budget.max_sessions, budget.max_connections) << open_files;
    EXPECT_LE(budget.max_unauthenticated, budget.max_connections) << open_files;
    EXPECT_GT(budget.first_reserved, budget.max_connections) << open_files;
    EXPECT_LT(budget.first_reserved, open_files) << open_files;
  }
}

TEST(DescriptorBudgetTest, MostDescriptorsAreForSessions) {
  EXPECT_EQ(Divide(1024).max_sessions, 768u);
  EXPECT_GE(Divide(15'000).max_sessions, 14'000u);
  EXPECT_GE(Divide(20'000).max_sessions, 19'000u);
}

TEST(DescriptorBudgetTest, G9ConnectionsWithoutASessionHaveHalf) {
  EXPECT_EQ(Divide(1024).max_unauthenticated, 416u);
  EXPECT_EQ(Divide(20'000).max_unauthenticated, 9'750u);
}

TEST(DescriptorBudgetTest, G4ProducersHaveAnEighthAndNoMoreThanMemoryHolds) {
  EXPECT_EQ(Divide(1024).max_grpc, 128u);
  EXPECT_EQ(Divide(20'000).max_grpc, 2'500u);
  EXPECT_EQ(Divide(20'000, {}, 256 * kMiB).max_grpc, 512u);
  EXPECT_EQ(Divide(20'000, {}, 1).max_grpc, 16u);
  EXPECT_EQ(Divide(4).max_grpc, 1u);
}

TEST(DescriptorBudgetTest, ASmallContainerHoldsFewerOfThem) {
  EXPECT_EQ(Divide(1'048'576, {}, 256 * kMiB).max_unauthenticated, 2048u);
  EXPECT_EQ(Divide(1'048'576, {}, 256 * kMiB, /*tls=*/true).max_unauthenticated, 512u);
  EXPECT_GE(Divide(1'048'576, {}, 1).max_unauthenticated, 1u);
}

TEST(DescriptorBudgetTest, SettingsCountAsFarAsDescriptorsCarryThem) {
  Limits limits;
  limits.max_sessions = 10;
  limits.max_unauthenticated_connections = 5;
  EXPECT_EQ(Divide(1024, limits).max_sessions, 10u);
  EXPECT_EQ(Divide(1024, limits).max_unauthenticated, 5u);
  limits.max_sessions = limits.max_unauthenticated_connections = 1'000'000;
  EXPECT_EQ(Divide(1024, limits).max_sessions, 768u);
  EXPECT_EQ(Divide(1024, limits).max_unauthenticated, 832u);
}

}  // namespace
}  // namespace herald
