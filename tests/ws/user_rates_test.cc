#include "ws/user_rates.h"

#include <gtest/gtest.h>

#include <string>

namespace herald {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kNow = 1000 * kSecond;
constexpr Rates kRates{{10, 20}, {1000, 2000}, {100, 200}};

TEST(UserRatesTest, G10ABucketOutlivesTheSession) {
  UserRates users;
  EXPECT_EQ(users.MaySend("alice", kRates, kNow), std::nullopt);
  EXPECT_EQ(users.Sent("alice", 20, 100, kRates, kNow), std::nullopt);
  EXPECT_EQ(users.MaySend("alice", kRates, kNow), RateReason::kUserFrames);
  EXPECT_EQ(users.Sent("alice", 1, 1, kRates, kNow), RateReason::kUserFrames);
  EXPECT_EQ(users.MaySend("bob", kRates, kNow), std::nullopt);
  EXPECT_EQ(users.MaySend("alice", kRates, kNow + kSecond), std::nullopt);
}

TEST(UserRatesTest, BytesAndReplaysHaveBucketsOfTheirOwn) {
  UserRates users;
  EXPECT_EQ(users.Sent("alice", 1, 2000, kRates, kNow), std::nullopt);
  EXPECT_EQ(users.Sent("alice", 1, 1, kRates, kNow), RateReason::kUserBytes);
  EXPECT_EQ(users.MayReplay("alice", kRates, kNow), std::nullopt);
  users.Replayed("alice", 1'000'000, kRates, kNow);  // taken whole, and owed up to one burst more
  EXPECT_EQ(users.MayReplay("alice", kRates, kNow + kSecond), RateReason::kUserReplay);
  EXPECT_EQ(users.MayReplay("alice", kRates, kNow + 3 * kSecond), std::nullopt);
}

TEST(UserRatesTest, FullBucketsAreForgotten) {
  UserRates users;
  std::int64_t now = kNow;
  for (int i = 0; i < 100'000; ++i) {
    ASSERT_EQ(users.Sent("u" + std::to_string(i), 1, 1, kRates, now), std::nullopt);
    now += kSecond / 1000;  // each is full again after 100 ms
  }
  EXPECT_LT(users.size(), 4000u);
}

TEST(UserRatesTest, G10TheTableIsBounded) {
  UserRates users(1000);
  int limited = 0;
  for (int i = 0; i < 20'000; ++i)
    limited += users.Sent("u" + std::to_string(i), 20, 1, kRates, kNow).has_value() ? 1 : 0;
  EXPECT_LE(users.size(), 1000u + UserRates::kParts);
  EXPECT_GT(limited, 10'000) << "users without room share a bucket";
}

}  // namespace
}  // namespace herald
