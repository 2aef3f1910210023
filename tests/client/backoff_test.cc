#include "client/backoff.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace herald {
namespace {

TEST(BackoffTest, WaitsAreJitteredOverTheWholeRangeThatDoubles) {
  constexpr int kSamples = 200;
  for (int tries = 0; tries < 12; ++tries) {
    const absl::Duration longest = std::min(absl::Seconds(10), absl::Milliseconds(100 << tries));
    absl::Duration least = absl::InfiniteDuration(), most = absl::ZeroDuration();
    for (int sample = 0; sample < kSamples; ++sample) {
      Backoff backoff(absl::Milliseconds(100), absl::Seconds(10));
      for (int i = 0; i < tries; ++i) backoff.Next();
      const absl::Duration wait = backoff.Next();
      least = std::min(least, wait);
      most = std::max(most, wait);
    }
    EXPECT_GE(least, absl::ZeroDuration());
    EXPECT_LE(most, longest);
    EXPECT_LT(least, longest / 4) << tries;  // of 200 samples, by chance 1 in 10^25
    EXPECT_GT(most, longest * 3 / 4) << tries;
  }
}

TEST(BackoffTest, NeverOverflows) {
  Backoff backoff(absl::Milliseconds(200), absl::Seconds(10));
  for (int i = 0; i < 200; ++i) {
    const absl::Duration wait = backoff.Next();
    EXPECT_GE(wait, absl::ZeroDuration());
    EXPECT_LE(wait, absl::Seconds(10));
  }
  EXPECT_EQ(backoff.tries(), 200);
}

TEST(BackoffTest, ResetBeginsAgain) {
  Backoff backoff(absl::Milliseconds(1), absl::Hours(1));
  for (int i = 0; i < 40; ++i) backoff.Next();
  backoff.Reset();
  EXPECT_EQ(backoff.tries(), 0);
  EXPECT_LE(backoff.Next(), absl::Milliseconds(1));
}

}  // namespace
}  // namespace herald
