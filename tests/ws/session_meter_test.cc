#include "ws/session_meter.h"

#include <gtest/gtest.h>

namespace herald {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kNow = 1000 * kSecond;

class SessionMeterTest : public ::testing::Test {
 protected:
  SessionMeterTest() {
    limits_.inbound_messages_per_second = 10;
    limits_.inbound_bytes_per_second = 1'000'000;
    limits_.user_rate_multiple = 2;
    limits_.address_rate_multiple = 4;
  }
  SessionMeter::Payers Payers(std::string_view user = "alice") {
    return {limits_, users_, user, &address_};
  }
  int Taken(SessionMeter& meter, std::int64_t now, int tries = 1000) {
    int taken = 0;
    for (int i = 0; i < tries; ++i) taken += meter.Sent(1, 10, Payers(), now) ? 0 : 1;
    return taken;
  }

  Limits limits_;
  UserRates users_;
  AddressState address_{AddressKey{}};
};

TEST_F(SessionMeterTest, AllowsTwoSecondsWorthAtOnceAndThenTheRate) {
  limits_.user_rate_multiple = limits_.address_rate_multiple = 0;
  SessionMeter meter;
  EXPECT_EQ(Taken(meter, kNow), 20);
  EXPECT_EQ(Taken(meter, kNow + kSecond / 20), 0);
  EXPECT_EQ(Taken(meter, kNow + kSecond / 2), 5);
  EXPECT_EQ(Taken(meter, kNow + 3 * kSecond / 2), 10);
  EXPECT_EQ(Taken(meter, kNow + 9999 * kSecond), 20);
}

TEST_F(SessionMeterTest, ZeroIsNoLimit) {
  limits_.inbound_messages_per_second = 0;
  limits_.inbound_bytes_per_second = 0;
  limits_.replay_bytes_per_second = 0;
  SessionMeter meter;
  EXPECT_EQ(Taken(meter, kNow), 1000);
  meter.Replayed(1 << 30, Payers(), kNow);
  EXPECT_EQ(meter.MayReplay(Payers(), kNow), std::nullopt);
}

TEST_F(SessionMeterTest, G10BytesAreCounted) {
  SessionMeter meter;
  EXPECT_EQ(meter.Sent(1, 2'000'000, Payers(), kNow), std::nullopt);
  EXPECT_EQ(meter.Sent(1, 1, Payers(), kNow), RateReason::kSessionBytes);
}

// A message of the largest size is never too much by itself.
TEST_F(SessionMeterTest, TheBurstOfBytesHoldsTwoOfTheLargestMessages) {
  limits_.inbound_bytes_per_second = 1;
  limits_.max_message_bytes = 1'000'000;
  SessionMeter meter;
  EXPECT_EQ(meter.Sent(1, 1'334'000, Payers(), kNow), std::nullopt);
  EXPECT_EQ(meter.Sent(1, 1'334'000, Payers(), kNow), std::nullopt);
}

TEST_F(SessionMeterTest, G10ReconnectingBringsNoFreshBucket) {
  int sessions = 0;
  std::optional<RateReason> over;
  for (; !over && sessions < 100; ++sessions) {
    over = SessionMeter::MayOpen(Payers(), kNow);
    if (over) break;
    SessionMeter meter;
    EXPECT_EQ(Taken(meter, kNow, 20), 20) << sessions;
    (void)meter.Settle(Payers(), kNow);
  }
  EXPECT_EQ(over, RateReason::kUserFrames);
  EXPECT_EQ(sessions, 2) << "40 frames at once for the user";
  EXPECT_EQ(SessionMeter::MayOpen(Payers("bob"), kNow), std::nullopt);
  EXPECT_EQ(SessionMeter::MayOpen(Payers(), kNow + kSecond), std::nullopt);
}

TEST_F(SessionMeterTest, G10TheAddressPaysForSessionsWithoutAUser) {
  int sessions = 0;
  for (; !SessionMeter::MayOpen(Payers(""), kNow) && sessions < 100; ++sessions) {
    SessionMeter meter;
    for (int i = 0; i < 20; ++i) (void)meter.Sent(1, 10, Payers(""), kNow);
    (void)meter.Settle(Payers(""), kNow);
  }
  EXPECT_EQ(sessions, 4) << "80 frames at once for the address";
  EXPECT_EQ(SessionMeter::MayOpen(Payers(""), kNow), RateReason::kAddressFrames);
}

TEST_F(SessionMeterTest, SharedBucketsAreChargedForManyFramesAtATime) {
  limits_.inbound_messages_per_second = 1000;
  SessionMeter meter;
  for (std::uint32_t i = 1; i < SessionMeter::kSettleFrames; ++i)
    (void)meter.Sent(1, 10, Payers(), kNow);
  EXPECT_EQ(users_.size(), 0u);
  (void)meter.Sent(1, 10, Payers(), kNow);
  EXPECT_EQ(users_.size(), 1u);
}

// However much comes at once, and also if the session is closed for it.
TEST_F(SessionMeterTest, WhatIsTooMuchIsChargedToTheUserToo) {
  limits_.user_rate_multiple = 50;  // 1,000 frames at once
  limits_.address_rate_multiple = 0;
  SessionMeter meter;
  EXPECT_EQ(meter.Sent(10, 10, Payers(), kNow), std::nullopt);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(meter.Sent(300, 70'000, Payers(), kNow), RateReason::kSessionFrames);
  EXPECT_EQ(SessionMeter::MayOpen(Payers(), kNow), std::nullopt) << "910 of 1,000";
  EXPECT_EQ(meter.Sent(300, 70'000, Payers(), kNow), RateReason::kSessionFrames);
  EXPECT_EQ(SessionMeter::MayOpen(Payers(), kNow), RateReason::kUserFrames);
}

TEST_F(SessionMeterTest, G15ReplaysAreChargedToSessionAndUser) {
  limits_.replay_bytes_per_second = 100'000;
  limits_.max_outbound_bytes_per_session = 100'000;
  SessionMeter one;
  EXPECT_EQ(one.MayReplay(Payers(), kNow), std::nullopt);
  one.Replayed(100'000, Payers(), kNow);
  EXPECT_EQ(one.MayReplay(Payers(), kNow), std::nullopt);
  one.Replayed(100'000, Payers(), kNow);
  EXPECT_EQ(one.MayReplay(Payers(), kNow), RateReason::kSessionReplay);
  SessionMeter two;
  EXPECT_EQ(two.MayReplay(Payers(), kNow), std::nullopt);
  two.Replayed(200'000, Payers(), kNow);
  SessionMeter three;
  EXPECT_EQ(three.MayReplay(Payers(), kNow), RateReason::kUserReplay);
  EXPECT_EQ(three.MayReplay(Payers("bob"), kNow), std::nullopt);
  EXPECT_EQ(three.MayReplay(Payers(), kNow + kSecond), std::nullopt);
}

}  // namespace
}  // namespace herald
