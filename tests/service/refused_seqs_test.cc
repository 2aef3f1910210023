#include "service/refused_seqs.h"

#include <gtest/gtest.h>

#include <set>

namespace herald {
namespace {

using std::chrono::seconds;
using TimePoint = RefusedSeqs::TimePoint;

TEST(RefusedSeqsTest, NumbersInARowAreOneRange) {
  RefusedSeqs refused;
  EXPECT_FALSE(refused.first());
  for (std::uint64_t seq = 10; seq < 10'000; ++seq) refused.Add({seq, seq}, TimePoint{});
  refused.Add({5, 5}, TimePoint{});
  ASSERT_EQ(refused.List().size(), 2u);
  EXPECT_EQ(refused.first(), 5u);
  refused.Add({6, 9}, TimePoint{});
  ASSERT_EQ(refused.List().size(), 1u);
  EXPECT_EQ(refused.List()[0].last, 9999u);
}

TEST(RefusedSeqsTest, WhatWasTriedIsTakenOut) {
  RefusedSeqs refused;
  refused.Add({1, 3}, TimePoint{});
  refused.Remove(2);
  refused.Remove(7);
  ASSERT_EQ(refused.List().size(), 2u);
  refused.Remove(1);
  EXPECT_EQ(refused.first(), 3u);
  refused.Remove(3);
  EXPECT_TRUE(refused.empty());
}

TEST(RefusedSeqsTest, TheLowestIsNeverTooHighHoweverManyRangesThereAre) {
  RefusedSeqs refused;
  std::set<std::uint64_t> all;
  for (std::uint64_t seq = 1; seq < 1000; seq += 2) {
    refused.Add({seq, seq}, TimePoint{});
    all.insert(seq);
  }
  EXPECT_LE(refused.List().size(), RefusedSeqs::kMaxRanges);
  while (!all.empty()) {
    ASSERT_TRUE(refused.first());
    ASSERT_LE(*refused.first(), *all.begin());
    refused.Remove(*all.begin());
    all.erase(all.begin());
    EXPECT_LE(refused.List().size(), RefusedSeqs::kMaxRanges);
  }
}

TEST(RefusedSeqsTest, RefusalsOfLongAgoAreForgotten) {
  RefusedSeqs refused;
  refused.Add({1, 1}, TimePoint{} + seconds(1));
  refused.Add({9, 9}, TimePoint{} + seconds(5));
  refused.Expire(TimePoint{} + seconds(2));
  EXPECT_EQ(refused.first(), 9u);
}

}  // namespace
}  // namespace herald
