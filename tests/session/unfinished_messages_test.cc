#include "session/unfinished_messages.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

namespace herald {
namespace {

class Part final : public UnfinishedMessage {
 public:
  explicit Part(UnfinishedMessages& pool) : pool_(pool) {}
  ~Part() { pool_.Release(*this); }
  bool Hold(std::size_t bytes) { return pool_.Charge(*this, bytes); }
  int refused = 0;
  Refusal why{};

 private:
  void OnRefused(Refusal reason) override {
    ++refused;
    why = reason;
  }
  UnfinishedMessages& pool_;
};

class UnfinishedMessagesTest : public ::testing::Test {
 protected:
  UnfinishedMessagesTest() { pool_.SetLimits({1000, absl::Milliseconds(1)}); }
  TimerWheel timers_;
  UnfinishedMessages pool_{timers_};
};

TEST_F(UnfinishedMessagesTest, CountsWhatIsHeldAndForgetsWhatIsDone) {
  {
    Part one(pool_), two(pool_);
    EXPECT_TRUE(one.Hold(100));
    EXPECT_TRUE(two.Hold(200));
    EXPECT_TRUE(one.Hold(300));
    EXPECT_EQ(pool_.bytes(), 500u);
  }
  EXPECT_EQ(pool_.bytes(), 0u);
}

TEST_F(UnfinishedMessagesTest, G5TheLargestGoesAndNeverASmallOne) {
  Part small(pool_), large(pool_), late(pool_);
  EXPECT_TRUE(small.Hold(50));
  EXPECT_TRUE(large.Hold(900));
  EXPECT_TRUE(late.Hold(100));
  EXPECT_EQ(large.refused, 1);
  EXPECT_EQ(large.why, UnfinishedMessage::Refusal::kPoolFull);
  EXPECT_EQ(small.refused + late.refused, 0);
  EXPECT_EQ(pool_.bytes(), 150u);
  EXPECT_FALSE(late.Hold(2000)) << "it is the largest itself";
  EXPECT_EQ(late.refused, 1);
  EXPECT_EQ(pool_.bytes(), 50u);
  EXPECT_EQ(pool_.refused(UnfinishedMessage::Refusal::kPoolFull), 2u);
}

TEST_F(UnfinishedMessagesTest, G5WhatIsNotCompleteInTimeGoes) {
  std::vector<std::unique_ptr<Part>> messages;
  for (int i = 0; i < 5; ++i) {
    messages.push_back(std::make_unique<Part>(pool_));
    EXPECT_TRUE(messages.back()->Hold(10));
  }
  messages[2] = nullptr;
  std::this_thread::sleep_until(std::chrono::steady_clock::now() + std::chrono::milliseconds(2));
  timers_.Advance(20);
  for (const auto& message : messages) {
    if (!message) continue;
    EXPECT_EQ(message->why, UnfinishedMessage::Refusal::kTooSlow);
  }
  EXPECT_EQ(pool_.bytes(), 0u);
  EXPECT_EQ(pool_.refused(UnfinishedMessage::Refusal::kTooSlow), 4u);
}

}  // namespace
}  // namespace herald
