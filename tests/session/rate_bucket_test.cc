#include "session/rate_bucket.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace herald {
namespace {

constexpr std::int64_t kNow = 1'000'000'000'000;
constexpr std::int64_t kMs = 1'000'000;

int Taken(RateBucket& bucket, RateBucket::Rate rate, std::int64_t now_ns, int tries = 1000) {
  int taken = 0;
  for (int i = 0; i < tries; ++i) taken += bucket.Take(1, rate, now_ns) ? 1 : 0;
  return taken;
}

TEST(RateBucketTest, GivesItsBurstAndThenItsRate) {
  RateBucket bucket;
  const RateBucket::Rate rate{10, 20};
  EXPECT_EQ(Taken(bucket, rate, kNow), 20);
  EXPECT_EQ(Taken(bucket, rate, kNow + 99 * kMs), 0);
  EXPECT_EQ(Taken(bucket, rate, kNow + 500 * kMs), 5);
  EXPECT_EQ(Taken(bucket, rate, kNow + 3600'000 * kMs), 20);
}

TEST(RateBucketTest, ZeroIsNoLimitAndABurstOfZeroIsOne) {
  RateBucket bucket;
  EXPECT_EQ(Taken(bucket, {0, 0}, kNow), 1000);
  EXPECT_EQ(Taken(bucket, {10, 0}, kNow), 1);
}

TEST(RateBucketTest, TakesAllOrNothing) {
  RateBucket bucket;
  const RateBucket::Rate rate{1000, 1000};
  EXPECT_TRUE(bucket.Take(600, rate, kNow));
  EXPECT_FALSE(bucket.Take(600, rate, kNow));
  EXPECT_TRUE(bucket.Has(400, rate, kNow));
  EXPECT_FALSE(bucket.Has(401, rate, kNow));
  EXPECT_TRUE(bucket.Take(400, rate, kNow));
  EXPECT_FALSE(bucket.Take(1, rate, kNow));
}

TEST(RateBucketTest, AChargeTakesMoreThanThereIsButOnlyOneBurstOfIt) {
  RateBucket bucket;
  const RateBucket::Rate rate{1000, 1000};
  EXPECT_TRUE(bucket.Charge(1'000'000'000, rate, kNow));
  EXPECT_FALSE(bucket.Charge(1, rate, kNow));
  EXPECT_FALSE(bucket.Has(1, rate, kNow + 1000 * kMs));
  EXPECT_TRUE(bucket.Has(1, rate, kNow + 1002 * kMs));
}

TEST(RateBucketTest, ManyThreadsGetExactlyTheBurst) {
  RateBucket bucket;
  std::atomic<int> taken{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] { taken += Taken(bucket, {10, 2000}, kNow); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, 2000);
}

}  // namespace
}  // namespace herald
