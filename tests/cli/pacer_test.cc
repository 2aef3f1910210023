#include "cli/pacer.h"

#include <gtest/gtest.h>

namespace herald::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// How many things happen in `span` if each waits as it is told.
int Count(Pacer& pacer, Pacer::Clock::time_point start, Pacer::Clock::duration span) {
  int count = 0;
  for (auto now = start; now < start + span; ++count) now += pacer.Take(now);
  return count;
}

constexpr Pacer::Clock::time_point kStart(seconds(1000));

TEST(PacerTest, NoLimitNeverWaits) {
  Pacer pacer(0);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(pacer.Take(kStart).count(), 0);
}

TEST(PacerTest, FastPacesKeepTheirMean) {
  Pacer pacer(10'000);
  EXPECT_NEAR(Count(pacer, kStart, seconds(2)), 20'000, 200);
}

TEST(PacerTest, SlowPacesWaitForEachOne) {
  Pacer pacer(10);
  EXPECT_NEAR(Count(pacer, kStart, seconds(2)), 20, 1);
}

TEST(PacerTest, APauseIsNotMadeUpFor) {
  Pacer pacer(1000);
  Count(pacer, kStart, seconds(1));
  EXPECT_NEAR(Count(pacer, kStart + seconds(100), seconds(1)), 1000, 20);
}

}  // namespace
}  // namespace herald::cli
