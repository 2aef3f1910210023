#include "service/event_exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "service/convert.h"
#include "tests/service/replicas.h"

namespace herald {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class EventExchangeTest : public ReplicasTest {
 protected:
  // A watcher at a node, which keeps what it gets.
  class Watcher {
   public:
    Watcher(Replica& at, std::string group = "", std::uint32_t max_in_flight = 1024,
            EventFilter filter = {})
        : hub_(at.events()) {
      WatchOptions options;
      options.group = std::move(group);
      options.max_in_flight = max_in_flight;
      options.filter = std::move(filter);
      id_ = *hub_.AddWatcher(std::move(options), [] {});
    }
    ~Watcher() { End(); }
    void End() {
      if (id_ != 0) hub_.RemoveWatcher(std::exchange(id_, 0));
    }
    // All that is there.
    std::vector<EventHub::Delivered> Pull() {
      std::vector<EventHub::Delivered> events;
      while (true) {
        EventHub::Batch batch = hub_.Pull(id_, 100);
        missed += batch.missed;
        if (batch.events.empty()) return events;
        for (auto& one : batch.events) {
          got.push_back(one.event->topic);
          ids.push_back(one.event->id);
          if (one.redelivered) again.insert(one.event->topic);
          events.push_back(std::move(one));
        }
      }
    }
    void Acknowledge(const std::vector<EventHub::Delivered>& events) {
      std::vector<std::uint64_t> ids;
      for (const auto& one : events) ids.push_back(one.event->id);
      hub_.Acknowledge(id_, ids);
    }
    [[nodiscard]] bool WaitFor(std::size_t count, bool acknowledge = false) {
      return Eventually([&] {
        const auto events = Pull();
        if (acknowledge) Acknowledge(events);
        return got.size() >= count;
      });
    }

    std::vector<std::string> got;
    std::vector<std::uint64_t> ids;
    std::set<std::string> again;
    std::uint64_t missed = 0;

   private:
    EventHub& hub_;
    std::uint64_t id_ = 0;
  };

  static void Publish(Replica& at, const std::string& topic, std::string payload = "") {
    Event event;
    event.kind = EventKind::kClientMessage;
    event.time = absl::Now();
    event.topic = topic;
    event.payload = std::move(payload);
    at.events().Publish(std::move(event));
  }
  // Until the others know of this node's watchers.
  static void WaitWatched(Replica& at, const std::string& probe, Watcher& watcher) {
    ASSERT_TRUE(Eventually([&] {
      Publish(at, probe);
      absl::SleepFor(absl::Milliseconds(2));
      watcher.Acknowledge(watcher.Pull());
      return std::find(watcher.got.begin(), watcher.got.end(), probe) != watcher.got.end();
    }));
  }
  // What `watcher` gets, without the probes.
  static std::vector<std::string> Without(std::string_view prefix,
                                          const std::vector<std::string>& topics) {
    std::vector<std::string> rest;
    for (const std::string& topic : topics) {
      if (!topic.starts_with(prefix)) rest.push_back(topic);
    }
    return rest;
  }
};

TEST_F(EventExchangeTest, AWatcherWithoutAGroupGetsTheEventsOfAllNodes) {
  Watcher at_b(b_), at_c(c_);
  for (Watcher* watcher : {&at_b, &at_c}) {
    WaitWatched(a_, "probe/a", *watcher);
  }
  WaitWatched(c_, "probe/c", at_b);
  WaitWatched(b_, "probe/b", at_c);
  for (int i = 0; i < 20; ++i) {
    Publish(a_, fmt::format("a/{}", i));
    Publish(b_, fmt::format("b/{}", i));
    Publish(c_, fmt::format("c/{}", i));
  }
  for (Watcher* watcher : {&at_b, &at_c}) {
    ASSERT_TRUE(Eventually([&] {
      watcher->Pull();
      return Without("probe/", watcher->got).size() >= 60;
    }));
    EXPECT_TRUE(std::is_sorted(watcher->ids.begin(), watcher->ids.end()));
    // Those of each node in their order, none twice.
    for (const char* node : {"a", "b", "c"}) {
      std::vector<std::string> theirs, expected;
      for (const std::string& topic : watcher->got) {
        if (topic.starts_with(fmt::format("{}/", node))) theirs.push_back(topic);
      }
      for (int i = 0; i < 20; ++i) expected.push_back(fmt::format("{}/{}", node, i));
      EXPECT_EQ(theirs, expected);
    }
  }
}

TEST_F(EventExchangeTest, EventsComeWholeFromOtherNodes) {
  Watcher watcher(b_);
  WaitWatched(a_, "probe", watcher);
  Event opened;
  opened.kind = EventKind::kSessionOpened;
  opened.time = absl::FromUnixMillis(1234567);
  opened.session_id = "a-00-x";
  opened.user_id = "alice";
  ASSERT_TRUE(opened.labels.Set("platform", "web").ok());
  opened.remote_address = "1.2.3.4:5";
  opened.user_agent = "agent";
  Event closed;
  closed.kind = EventKind::kSessionClosed;
  closed.close_code = 4410;
  closed.close_reason = "why";
  closed.duration = absl::Seconds(5);
  closed.bytes_out = 1, closed.bytes_in = 2, closed.messages_out = 3, closed.messages_in = 4;
  closed.dropped["expired"] = 6;
  Event message;
  message.kind = EventKind::kClientMessage;
  message.event = "say", message.payload = std::string("\0x", 2), message.content_type = "text/x";
  for (const Event& event : {opened, closed, message}) {
    v1::Event expected = ToProto(event, false, "a");
    a_.events().Publish(event);
    EventPtr got;
    ASSERT_TRUE(Eventually([&] {
      const auto events = watcher.Pull();
      if (!events.empty()) got = events.back().event;
      return got != nullptr && got->kind == event.kind && got->topic != "probe";
    }));
    v1::Event told = ToProto(*got, false, "b");
    EXPECT_NE(told.id(), 0u);
    told.clear_id();
    EXPECT_EQ(told.DebugString(), expected.DebugString());
    EXPECT_EQ(told.node(), "a");
  }
}

TEST_F(EventExchangeTest, OfAGroupEachEventGoesToOneWatcherOfTheCluster) {
  Watcher at_b(b_, "g"), at_c(c_, "g"), alone(a_);
  WaitWatched(a_, "probe/b", at_b);
  at_c.Acknowledge(at_c.Pull());  // on a busy machine the probes alone would fill its window
  for (int i = 0; i < 200; ++i) {
    for (Replica* at : {&a_, &b_, &c_}) Publish(*at, fmt::format("{}/{}", at->name(), i));
  }
  ASSERT_TRUE(Eventually([&] {
    at_b.Acknowledge(at_b.Pull());
    at_c.Acknowledge(at_c.Pull());
    return Without("probe/", at_b.got).size() + Without("probe/", at_c.got).size() >= 600;
  }));
  std::vector<std::string> all = Without("probe/", at_b.got);
  const auto more = Without("probe/", at_c.got);
  all.insert(all.end(), more.begin(), more.end());
  std::set<std::string> unique(all.begin(), all.end());
  EXPECT_EQ(all.size(), 600u);
  EXPECT_EQ(unique.size(), 600u) << "each once";
  // Who has no group gets them all the same.
  EXPECT_TRUE(alone.WaitFor(600));
}

TEST_F(EventExchangeTest, WhatALostNodeHadNotAcknowledgedGoesToAnother) {
  Watcher at_b(b_, "g");
  WaitWatched(a_, "probe", at_b);
  for (int i = 0; i < 10; ++i) Publish(a_, fmt::format("{}", i));
  // Taken, and three of them acknowledged.
  std::vector<EventHub::Delivered> taken;
  ASSERT_TRUE(Eventually([&] {
    for (auto& one : at_b.Pull()) {
      if (one.event->topic == "probe") {
        at_b.Acknowledge({one});
      } else {
        taken.push_back(one);
      }
    }
    return taken.size() == 10;
  }));
  at_b.Acknowledge({taken.begin(), taken.begin() + 3});
  absl::SleepFor(absl::Milliseconds(100));
  network_.Silence("b");
  Watcher at_c(c_, "g");
  ASSERT_TRUE(Eventually([&] {
    at_c.Acknowledge(at_c.Pull());
    return Without("probe", at_c.got).size() >= 8;
  }));
  absl::SleepFor(absl::Milliseconds(50));
  at_c.Pull();
  std::vector<std::string> got = Without("probe", at_c.got);
  // And that b is lost.
  EXPECT_EQ(std::count(got.begin(), got.end(), ""), 1);
  std::erase(got, "");
  EXPECT_THAT(got, ElementsAre("3", "4", "5", "6", "7", "8", "9"));
  EXPECT_THAT(at_c.again, SizeIs(7));
}

TEST_F(EventExchangeTest, WhatAnEndedWatcherHadGoesToAnotherNode) {
  auto at_b = std::make_unique<Watcher>(b_, "g");
  WaitWatched(a_, "probe", *at_b);
  for (int i = 0; i < 5; ++i) Publish(a_, fmt::format("{}", i));
  ASSERT_TRUE(Eventually([&] {
    at_b->Pull();
    return Without("probe", at_b->got).size() == 5;
  }));
  at_b->End();
  Watcher at_c(c_, "g");
  ASSERT_TRUE(Eventually([&] {
    at_c.Acknowledge(at_c.Pull());
    return Without("probe", at_c.got).size() == 5;
  }));
  EXPECT_THAT(at_c.again, SizeIs(5));
  // To another of the same node, without leaving it.
  Watcher first(b_, "h"), second(b_, "h");
  WaitWatched(a_, "again", first);
  Publish(a_, "x");
  ASSERT_TRUE(Eventually([&] {
    first.Pull();
    second.Pull();
    return !Without("again", first.got).empty() || !Without("again", second.got).empty();
  }));
  Watcher &had = Without("again", first.got).empty() ? second : first,
          &other = &had == &first ? second : first;
  had.End();
  ASSERT_TRUE(Eventually([&] {
    other.Pull();
    return !Without("again", other.got).empty();
  }));
}

TEST_F(EventExchangeTest, ANodeTakesNoMoreThanItsWatchersWindow) {
  Watcher at_b(b_, "g", /*max_in_flight=*/2);
  WaitWatched(a_, "probe", at_b);
  for (int i = 0; i < 10; ++i) Publish(a_, fmt::format("{}", i));
  std::vector<EventHub::Delivered> held;
  ASSERT_TRUE(Eventually([&] {
    for (auto& one : at_b.Pull()) held.push_back(one);
    return held.size() >= 2;
  }));
  absl::SleepFor(absl::Milliseconds(100));
  EXPECT_THAT(at_b.Pull(), IsEmpty());
  // The rest is free for a watcher elsewhere.
  Watcher at_c(c_, "g");
  ASSERT_TRUE(Eventually([&] {
    at_c.Acknowledge(at_c.Pull());
    return at_c.got.size() >= 8;
  }));
  at_b.Acknowledge(held);
  Publish(a_, "last");
  ASSERT_TRUE(Eventually([&] {
    at_b.Acknowledge(at_b.Pull());
    at_c.Acknowledge(at_c.Pull());
    const auto& got = at_c.got.back() == "last" ? at_c.got : at_b.got;
    return got.back() == "last";
  }));
}

TEST_F(EventExchangeTest, LostAnswersAreAskedForAgain) {
  Watcher alone(b_), grouped(b_, "g");
  WaitWatched(a_, "probe", alone);
  WaitWatched(a_, "probe2", grouped);
  // Every batch of events is lost once: its question runs into its deadline, and is asked again.
  std::atomic<int> lost{0};
  network_.set_drop([&](const ClusterFrame& frame) {
    return frame.kind == FrameKind::kAnswer && frame.from == "a" && lost.fetch_add(1) < 2;
  });
  for (int i = 0; i < 10; ++i) Publish(a_, fmt::format("{}", i));
  const std::vector<std::string> expected{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
  for (Watcher* watcher : {&alone, &grouped}) {
    ASSERT_TRUE(Eventually([&] {
      watcher->Acknowledge(watcher->Pull());
      return Without("probe", watcher->got).size() >= 10;
    }));
    EXPECT_EQ(Without("probe", watcher->got), expected);
  }
  EXPECT_GE(lost, 2);
}

TEST_F(EventExchangeTest, ALostNodeIsToldOfOnceAndAGoodbyeIsNot) {
  EventFilter lost_only;
  lost_only.kinds = 1u << static_cast<int>(EventKind::kNodeLost);
  Watcher at_a(a_, "", 1024, lost_only), at_b(b_, "", 1024, lost_only), grouped(b_, "g"),
      also(a_, "g");
  WaitWatched(a_, "probe/a", grouped);
  network_.Silence("c");
  for (Watcher* watcher : {&at_a, &at_b}) {
    ASSERT_TRUE(watcher->WaitFor(1));
  }
  absl::SleepFor(absl::Milliseconds(100));
  for (Watcher* watcher : {&at_a, &at_b}) {
    watcher->Pull();
    EXPECT_THAT(watcher->got, SizeIs(1));
  }
  grouped.Pull();
  also.Pull();
  EXPECT_EQ(Without("probe/", grouped.got).size() + Without("probe/", also.got).size(), 1u);
  b_.cluster().Stop(/*goodbye=*/true);
  ASSERT_TRUE(WaitPeers(a_.cluster(), {}));
  absl::SleepFor(absl::Milliseconds(50));
  at_a.Pull();
  EXPECT_THAT(at_a.got, SizeIs(1));
}

TEST_F(EventExchangeTest, IfWhoHadToTellIsLostTooAnotherTells) {
  EventFilter lost_only;
  lost_only.kinds = 1u << static_cast<int>(EventKind::kNodeLost);
  Watcher at_c(c_, "", 1024, lost_only);
  absl::SleepFor(absl::Milliseconds(50));
  network_.Silence("b");
  absl::SleepFor(absl::Milliseconds(200));
  network_.Silence("a");
  ASSERT_TRUE(Eventually([&] {
    at_c.Pull();
    return at_c.got.size() >= 2;
  }));
}

}  // namespace
}  // namespace herald
