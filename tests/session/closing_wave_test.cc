#include "session/closing_wave.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/session/node.h"

namespace herald {
namespace {

using ::testing::Each;
using ::testing::SizeIs;

class ClosingWaveTest : public ::testing::Test {
 protected:
  void Add(int count) {
    for (int i = 0; i < count; ++i) sessions_.push_back(node_.Add({}, 0));
  }
  void CloseOver(absl::Duration over, absl::Duration spread) {
    RunOn(shard(), [&] { shard().CloseOver(over, spread); });
  }
  // Sessions that have been told, of those of this test.
  std::size_t closed() {
    return RunOn(shard(), [&] {
      return static_cast<std::size_t>(
          std::count_if(sessions_.begin(), sessions_.end(),
                        [](const auto& session) { return !session->closes().empty(); }));
    });
  }
  Shard& shard() { return *node_.shards()[0]; }

  Node node_{1};
  std::vector<RecordingSessionPtr> sessions_;
};

TEST_F(ClosingWaveTest, ClosesAllByTheEndAndNotBefore) {
  Add(100);
  const absl::Time begun = absl::Now();
  CloseOver(absl::Seconds(1), absl::ZeroDuration());
  EXPECT_LE(closed(), 10u);
  ASSERT_TRUE(Eventually([&] { return closed() > 50; }));
  EXPECT_GE(absl::Now() - begun, absl::Milliseconds(350));
  ASSERT_TRUE(Eventually([&] { return closed() == 100; }));
  EXPECT_GE(absl::Now() - begun, absl::Milliseconds(850));
}

TEST_F(ClosingWaveTest, TellsEachOnceToComeBackWithinTheSpread) {
  Add(50);
  CloseOver(absl::ZeroDuration(), absl::Seconds(10));
  ASSERT_EQ(closed(), 50u);
  std::vector<absl::Duration> delays;
  for (const auto& session : sessions_) {
    ASSERT_THAT(session->closes(), SizeIs(1));
    EXPECT_EQ(session->closes()[0].code, CloseCode::kRestart);
    ASSERT_TRUE(session->closes()[0].advice);
    EXPECT_FALSE(session->closes()[0].advice->never);
    delays.push_back(session->closes()[0].advice->delay);
  }
  EXPECT_THAT(delays, Each(testing::Ge(absl::ZeroDuration())));
  EXPECT_THAT(delays, Each(testing::Le(absl::Seconds(10))));
  EXPECT_GT(*std::max_element(delays.begin(), delays.end()), absl::Seconds(5));
  EXPECT_LT(*std::min_element(delays.begin(), delays.end()), absl::Seconds(5));
}

TEST_F(ClosingWaveTest, AHurryClosesTheRestAtOnce) {
  Add(50);
  CloseOver(absl::Minutes(10), absl::ZeroDuration());
  ASSERT_LE(closed(), 1u);
  CloseOver(absl::ZeroDuration(), absl::ZeroDuration());
  EXPECT_EQ(closed(), 50u);
}

TEST_F(ClosingWaveTest, WhoComesLateIsClosedToo) {
  CloseOver(absl::ZeroDuration(), absl::ZeroDuration());
  Add(5);
  EXPECT_TRUE(Eventually([&] { return closed() == 5; }));
}

}  // namespace
}  // namespace herald
