#include "session/timer_wheel.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

namespace herald {
namespace {

constexpr absl::Duration kTick = TimerWheel::kTick;

class Alarm final : public Timer {
 public:
  explicit Alarm(std::function<void()> handler = [] {}) : handler_(std::move(handler)) {}
  int fired = 0;

 private:
  void OnTimer() override {
    ++fired;
    // The handler may destroy this.
    auto handler = handler_;
    handler();
  }
  std::function<void()> handler_;
};

// Ticks until the alarm fires, when it is set in a wheel that has run for `start` ticks.
int TicksUntilFired(absl::Duration after, std::uint64_t start = 0) {
  TimerWheel wheel;
  wheel.Advance(start);
  Alarm alarm;
  wheel.Schedule(alarm, after);
  for (int ticks = 0; ticks < 10'000; ++ticks) {
    if (alarm.fired > 0) return ticks;
    wheel.Advance(1);
  }
  return -1;
}

// A timer set just before a tick has that tick fall at once: n whole ticks need n + 1.
TEST(TimerWheelTest, IsNeverEarlyAndAtMostATickLate) {
  for (std::uint64_t start : {0u, 1u, 511u, 512u, 1000u}) {
    EXPECT_EQ(TicksUntilFired(absl::ZeroDuration(), start), 1) << start;
    EXPECT_EQ(TicksUntilFired(absl::Milliseconds(1), start), 2) << start;
    EXPECT_EQ(TicksUntilFired(kTick, start), 2) << start;
    EXPECT_EQ(TicksUntilFired(kTick + absl::Nanoseconds(1), start), 3) << start;
    EXPECT_EQ(TicksUntilFired(10 * kTick, start), 11) << start;
  }
}

TEST(TimerWheelTest, WaitsMoreThanOneRound) {
  for (int ticks : {510, 511, 512, 513, 1024, 5000}) {
    EXPECT_EQ(TicksUntilFired(ticks * kTick), ticks + 1);
  }
}

TEST(TimerWheelTest, TakesWhatIsPastAsDue) {
  EXPECT_EQ(TicksUntilFired(-absl::Hours(1)), 1);
  EXPECT_EQ(TicksUntilFired(-absl::InfiniteDuration()), 1);
}

TEST(TimerWheelTest, NeverFiresWhatIsInfinitelyFar) {
  EXPECT_EQ(TicksUntilFired(absl::InfiniteDuration()), -1);
}

TEST(TimerWheelTest, FiresOnce) {
  TimerWheel wheel;
  Alarm alarm;
  wheel.Schedule(alarm, kTick);
  EXPECT_TRUE(alarm.pending());
  wheel.Advance(2000);
  EXPECT_EQ(alarm.fired, 1);
  EXPECT_FALSE(alarm.pending());
}

TEST(TimerWheelTest, AdvancesOverManyTicksInOrder) {
  TimerWheel wheel;
  std::vector<int> order;
  Alarm second([&] { order.push_back(2); }), first([&] { order.push_back(1); }),
      third([&] { order.push_back(3); });
  wheel.Schedule(second, 600 * kTick);
  wheel.Schedule(third, 601 * kTick);
  wheel.Schedule(first, 3 * kTick);
  wheel.Advance(5000);
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST(TimerWheelTest, DoesNotFireWhatIsCancelled) {
  TimerWheel wheel;
  Alarm alarm;
  wheel.Schedule(alarm, kTick);
  wheel.Cancel(alarm);
  EXPECT_FALSE(alarm.pending());
  wheel.Cancel(alarm);  // again
  wheel.Advance(1000);
  EXPECT_EQ(alarm.fired, 0);
}

TEST(TimerWheelTest, DestroyingCancels) {
  TimerWheel wheel;
  {
    Alarm alarm([] { ADD_FAILURE(); });
    wheel.Schedule(alarm, kTick);
  }
  wheel.Advance(1000);
}

TEST(TimerWheelTest, SchedulingAgainReplaces) {
  TimerWheel wheel;
  Alarm alarm;
  wheel.Schedule(alarm, kTick);
  wheel.Schedule(alarm, 5 * kTick);
  wheel.Advance(5);
  EXPECT_EQ(alarm.fired, 0);
  wheel.Advance(1);
  EXPECT_EQ(alarm.fired, 1);
}

TEST(TimerWheelTest, AHandlerMayScheduleItselfAgain) {
  TimerWheel wheel;
  std::unique_ptr<Alarm> alarm;
  alarm = std::make_unique<Alarm>([&] { wheel.Schedule(*alarm, absl::ZeroDuration()); });
  wheel.Schedule(*alarm, absl::ZeroDuration());
  wheel.Advance(10);
  EXPECT_EQ(alarm->fired, 10);
}

// 511 ticks and the one that has begun: the slot that is being run.
TEST(TimerWheelTest, AHandlerMayScheduleIntoItsOwnSlot) {
  TimerWheel wheel;
  std::unique_ptr<Alarm> alarm;
  alarm = std::make_unique<Alarm>([&] { wheel.Schedule(*alarm, 511 * kTick); });
  wheel.Schedule(*alarm, absl::ZeroDuration());
  wheel.Advance(1);
  EXPECT_EQ(alarm->fired, 1);
  wheel.Advance(511);
  EXPECT_EQ(alarm->fired, 1);
  wheel.Advance(1);
  EXPECT_EQ(alarm->fired, 2);
}

TEST(TimerWheelTest, AHandlerMayDestroyItself) {
  TimerWheel wheel;
  std::unique_ptr<Alarm> alarm;
  alarm = std::make_unique<Alarm>([&] { alarm.reset(); });
  wheel.Schedule(*alarm, kTick);
  wheel.Advance(10);
  EXPECT_EQ(alarm, nullptr);
}

TEST(TimerWheelTest, AHandlerMayCancelOrDestroyOthersThatAreDueWithIt) {
  TimerWheel wheel;
  Alarm cancelled([] { ADD_FAILURE(); });
  auto destroyed = std::make_unique<Alarm>([] { ADD_FAILURE(); });
  Alarm last;
  Alarm first([&] {
    wheel.Cancel(cancelled);
    destroyed.reset();
  });
  wheel.Schedule(first, kTick);
  wheel.Schedule(cancelled, kTick);
  wheel.Schedule(*destroyed, kTick);
  wheel.Schedule(last, kTick);
  wheel.Advance(10);
  EXPECT_EQ(last.fired, 1);
}

TEST(TimerWheelTest, TimersMayOutliveTheWheel) {
  auto wheel = std::make_unique<TimerWheel>();
  Alarm one, two;
  wheel->Schedule(one, kTick);
  wheel->Schedule(two, kTick);
  wheel.reset();
}

}  // namespace
}  // namespace herald
