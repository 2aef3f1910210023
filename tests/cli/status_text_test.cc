#include "cli/status_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/event_text.h"

namespace herald::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

Sample MakeSample(absl::Time time, std::uint64_t commands, double mean) {
  Sample sample{time, {}};
  sample.info.set_broker("memory");
  v1::NodeInfo& node = *sample.info.add_nodes();
  node.set_node("dev");
  node.set_sessions(12345);
  node.set_commands_total(commands);
  node.set_commands_per_second(mean);
  return sample;
}

TEST(StatusTextTest, TheFirstPictureShowsTheServersMeans) {
  const std::string text = StatusText(MakeSample(absl::Now(), 500, 77.5), nullptr);
  EXPECT_THAT(text, HasSubstr("12,345"));
  EXPECT_THAT(text, HasSubstr("77.5"));
}

TEST(StatusTextTest, LaterOnesShowWhatHappenedBetween) {
  const absl::Time now = absl::Now();
  const Sample before = MakeSample(now - absl::Seconds(2), 1000, 0);
  const std::string text = StatusText(MakeSample(now, 9000, 77.5), &before);
  EXPECT_THAT(text, HasSubstr("4,000"));
  EXPECT_THAT(text, Not(HasSubstr("77.5")));
}

TEST(StatusTextTest, ARestartBetweenIsNotANegativeRate) {
  const absl::Time now = absl::Now();
  const Sample before = MakeSample(now - absl::Seconds(2), 1000, 0);
  EXPECT_THAT(StatusText(MakeSample(now, 10, 77.5), &before), HasSubstr("77.5"));
}

TEST(EventTextTest, KindsHaveNamesBothWays) {
  EXPECT_EQ(EventKindName(v1::EVENT_KIND_CLIENT_MESSAGE), "client_message");
  EXPECT_EQ(ParseEventKind("node_lost"), v1::EVENT_KIND_NODE_LOST);
  EXPECT_EQ(ParseEventKind("unspecified"), std::nullopt);
  EXPECT_EQ(ParseEventKind("frobbed"), std::nullopt);
}

TEST(EventTextTest, AMessageOnOneLine) {
  v1::Event event;
  event.set_kind(v1::EVENT_KIND_CLIENT_MESSAGE);
  event.set_user_id("alice");
  event.set_topic("chat");
  event.set_redelivered(true);
  event.mutable_client_message()->set_event("say");
  event.mutable_client_message()->set_payload("hi\n\x1b[2J");
  EXPECT_THAT(EventText(event), testing::EndsWith("alice  chat  say: hi\\n\\x1b[2J  (again)"));
}

TEST(EventTextTest, AClosedSessionSaysWhy) {
  v1::Event event;
  event.set_kind(v1::EVENT_KIND_SESSION_CLOSED);
  event.mutable_session_closed()->set_code(4413);
  event.mutable_session_closed()->set_reason("slow consumer");
  (*event.mutable_session_closed()->mutable_dropped())["slow_consumer"] = 7;
  EXPECT_THAT(EventText(event), HasSubstr("4413 slow consumer"));
  EXPECT_THAT(EventText(event), HasSubstr("dropped slow_consumer 7"));
}

}  // namespace
}  // namespace herald::cli
