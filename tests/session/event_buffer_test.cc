#include "session/event_buffer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace herald {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class EventBufferTest : public ::testing::Test {
 protected:
  void Push(const std::string& user) {
    Event event;
    event.id = buffer_.next_id();
    event.user_id = user;
    buffer_.Push(std::make_shared<const Event>(std::move(event)),
                 [this](const Event& lost) { lost_.push_back(lost.user_id); });
  }
  std::vector<std::string> Kept() const {
    std::vector<std::string> kept;
    for (EventPtr event = buffer_.After(0); event != nullptr; event = buffer_.After(event->id))
      kept.push_back(event->user_id);
    return kept;
  }

  EventBuffer buffer_{40, std::size_t{1} << 20};
  std::vector<std::string> lost_;
};

TEST_F(EventBufferTest, TheOldestGoesFirstAmongOwnersOfLittle) {
  for (int i = 0; i < 42; ++i) Push(std::to_string(i));
  EXPECT_THAT(lost_, ElementsAre("0", "1"));
  EXPECT_EQ(buffer_.After(0)->id, 3u);
  EXPECT_EQ(buffer_.CountAfter(0), 40u);
  EXPECT_EQ(buffer_.dropped_oldest(), 2u);
}

TEST_F(EventBufferTest, G11AFloodPushesOutItsOwnEvents) {
  for (int i = 0; i < 20; ++i) Push("user" + std::to_string(i));
  for (int i = 0; i < 5000; ++i) Push("flood");
  EXPECT_EQ(lost_, std::vector<std::string>(4980, "flood"));
  EXPECT_EQ(Kept().size(), 40u);
  EXPECT_EQ(Kept().front(), "user0");
  EXPECT_EQ(buffer_.dropped_own(), 4980u);
}

TEST_F(EventBufferTest, SkippingForgetsAllAndTakesAnId) {
  Push("a");
  buffer_.SkipAll();
  EXPECT_THAT(Kept(), IsEmpty());
  EXPECT_EQ(buffer_.next_id(), 3u);
  EXPECT_EQ(buffer_.bytes(), 0u);
  Push("b");
  EXPECT_THAT(Kept(), ElementsAre("b"));
}

}  // namespace
}  // namespace herald
