#include "session/event_hub.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "absl/time/clock.h"

namespace herald {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Event On(std::string topic, EventKind kind = EventKind::kSubscribed) {
  Event event;
  event.kind = kind;
  event.topic = std::move(topic);
  return event;
}

WatchOptions Group(std::string name, std::uint32_t max_in_flight = 1024) {
  WatchOptions options;
  options.group = std::move(name);
  options.max_in_flight = max_in_flight;
  return options;
}

std::vector<std::string> Topics(const EventHub::Batch& batch) {
  std::vector<std::string> topics;
  for (const auto& delivered : batch.events) topics.push_back(delivered.event->topic);
  return topics;
}

std::vector<std::uint64_t> Ids(const EventHub::Batch& batch) {
  std::vector<std::uint64_t> ids;
  for (const auto& delivered : batch.events) ids.push_back(delivered.event->id);
  return ids;
}

class EventHubTest : public ::testing::Test {
 protected:
  std::uint64_t Watch(WatchOptions options = {}) {
    return *hub_.AddWatcher(std::move(options), [this] { ++wakes_; });
  }
  void Publish(std::initializer_list<const char*> topics) {
    for (const char* topic : topics) hub_.Publish(On(topic));
  }
  std::vector<std::string> Pull(std::uint64_t watcher, std::size_t max = 100) {
    return Topics(hub_.Pull(watcher, max));
  }

  EventHub hub_{4, 1 << 20};
  std::atomic<int> wakes_{0};
};

TEST_F(EventHubTest, GivesEveryWatcherAllEventsInOrderWithGrowingIds) {
  const auto one = Watch(), two = Watch();
  Publish({"a", "b", "c"});
  const auto batch = hub_.Pull(one, 100);
  EXPECT_THAT(Topics(batch), ElementsAre("a", "b", "c"));
  EXPECT_THAT(Ids(batch), ElementsAre(1u, 2u, 3u));
  EXPECT_EQ(batch.missed, 0u);
  EXPECT_THAT(Pull(two), ElementsAre("a", "b", "c"));
  EXPECT_THAT(Pull(one), IsEmpty());
  EXPECT_EQ(hub_.last_event_id(), 3u);
  EXPECT_EQ(hub_.watchers(), 2u);
}

TEST_F(EventHubTest, GivesAtMostWhatIsAskedFor) {
  const auto watcher = Watch();
  Publish({"a", "b", "c"});
  EXPECT_THAT(Pull(watcher, 2), ElementsAre("a", "b"));
  EXPECT_THAT(Pull(watcher, 2), ElementsAre("c"));
}

TEST_F(EventHubTest, StartsWithWhatComesAfterIt) {
  Publish({"before"});
  const auto watcher = Watch();
  Publish({"after"});
  EXPECT_THAT(Pull(watcher), ElementsAre("after"));
}

TEST_F(EventHubTest, FiltersByKindAndTopic) {
  WatchOptions options;
  options.filter.kinds = 1u << static_cast<int>(EventKind::kSubscribed) |
                         1u << static_cast<int>(EventKind::kSessionOpened);
  options.filter.topics = {*TopicPattern::Parse("orders/*")};
  const auto watcher = Watch(options);
  hub_.Publish(On("orders/1"));
  hub_.Publish(On("orders/2", EventKind::kUnsubscribed));
  hub_.Publish(On("news"));
  hub_.Publish(On("", EventKind::kSessionOpened));  // has no topic: always passes
  EXPECT_THAT(Pull(watcher), ElementsAre("orders/1", ""));
}

TEST_F(EventHubTest, TellsHowManyFellOutOfTheBuffer) {
  const auto watcher = Watch();
  Publish({"1", "2", "3", "4", "5", "6"});  // four are kept
  const auto batch = hub_.Pull(watcher, 100);
  EXPECT_EQ(batch.missed, 2u);
  EXPECT_THAT(Topics(batch), ElementsAre("3", "4", "5", "6"));
  EXPECT_EQ(hub_.Pull(watcher, 100).missed, 0u);  // told once
}

TEST_F(EventHubTest, CountsAsMissedOnlyWhatTheWatcherWanted) {
  WatchOptions options;
  options.filter.topics = {*TopicPattern::Parse("want")};
  const auto watcher = Watch(options);
  Publish({"want", "other", "want", "x", "x", "x", "x"});
  EXPECT_EQ(hub_.Pull(watcher, 100).missed, 2u);
}

TEST_F(EventHubTest, KeepsItsBytesLimitButAlwaysTheNewest) {
  EventHub hub(100, 2000);
  const auto watcher = *hub.AddWatcher({}, [] {});
  for (int i = 0; i < 10; ++i) {
    Event event = On(fmt::format("{}", i));
    event.payload.assign(1000, 'x');
    hub.Publish(std::move(event));
  }
  const auto batch = hub.Pull(watcher, 100);
  EXPECT_THAT(Topics(batch), ElementsAre("9"));
  EXPECT_EQ(batch.missed, 9u);
}

TEST_F(EventHubTest, ReplaysFromAnId) {
  hub_.RemoveWatcher(Watch());  // was here before
  Publish({"1", "2", "3"});
  WatchOptions options;
  options.since_event_id = 1;
  EXPECT_THAT(Pull(Watch(options)), ElementsAre("2", "3"));
}

TEST_F(EventHubTest, TellsWhatIsGoneWhenItReplays) {
  hub_.RemoveWatcher(Watch());
  Publish({"1", "2", "3", "4", "5", "6"});
  WatchOptions options;
  options.since_event_id = 1;
  const auto batch = hub_.Pull(Watch(options), 100);
  EXPECT_EQ(batch.missed, 1u);
  EXPECT_THAT(Topics(batch), ElementsAre("3", "4", "5", "6"));
}

TEST_F(EventHubTest, AnIdThatIsNotYetGivenMeansFromNowOn) {
  Publish({"1"});
  WatchOptions options;
  options.since_event_id = 1000;
  const auto watcher = Watch(options);
  Publish({"2"});
  EXPECT_THAT(Pull(watcher), ElementsAre("2"));
}

TEST_F(EventHubTest, WakesOnceAnEmptyPullHasArmed) {
  const auto watcher = Watch();
  Publish({"a"});
  EXPECT_EQ(wakes_, 0);  // it has not asked yet
  EXPECT_THAT(Pull(watcher), ElementsAre("a"));
  Publish({"b"});
  EXPECT_EQ(wakes_, 0);  // its last pull was not empty: it will come again
  Pull(watcher);
  EXPECT_THAT(Pull(watcher), IsEmpty());
  Publish({"c", "d"});
  EXPECT_EQ(wakes_, 1);
}

TEST_F(EventHubTest, AGroupSharesItsEvents) {
  const auto one = Watch(Group("g")), two = Watch(Group("g")), other = Watch(Group("h"));
  Publish({"a", "b", "c"});
  EXPECT_THAT(Pull(one, 1), ElementsAre("a"));
  EXPECT_THAT(Pull(two, 1), ElementsAre("b"));
  EXPECT_THAT(Pull(one), ElementsAre("c"));
  EXPECT_THAT(Pull(two), IsEmpty());
  EXPECT_THAT(Pull(other), ElementsAre("a", "b", "c"));
}

TEST_F(EventHubTest, WhatAnEndedWatcherDidNotAcknowledgeGoesToAnother) {
  const auto one = Watch(Group("g")), two = Watch(Group("g"));
  Publish({"a", "b", "c"});
  const auto ids = Ids(hub_.Pull(one, 100));
  hub_.Acknowledge(one, {ids[1]});
  EXPECT_THAT(Pull(two), IsEmpty());
  hub_.RemoveWatcher(one);
  EXPECT_EQ(wakes_, 1);  // two was armed
  Publish({"d"});
  const auto batch = hub_.Pull(two, 100);
  EXPECT_THAT(Topics(batch), ElementsAre("a", "c", "d"));
  EXPECT_TRUE(batch.events[0].redelivered);
  EXPECT_TRUE(batch.events[1].redelivered);
  EXPECT_FALSE(batch.events[2].redelivered);
}

TEST_F(EventHubTest, RedeliversWhatHasLeftTheBuffer) {
  const auto one = Watch(Group("g"));
  Publish({"a"});
  Pull(one);
  Publish({"1", "2", "3", "4"});
  hub_.RemoveWatcher(one);
  EXPECT_THAT(Pull(Watch(Group("g"))), ElementsAre("a", "1", "2", "3", "4"));
}

TEST_F(EventHubTest, AGroupKeepsItsPlaceWhileItHasNoWatchers) {
  hub_.RemoveWatcher(Watch(Group("g")));
  Publish({"meanwhile"});
  EXPECT_THAT(Pull(Watch(Group("g"))), ElementsAre("meanwhile"));
}

TEST_F(EventHubTest, NumbersButDoesNotKeepWhatNobodyWatches) {
  Publish({"1", "2", "3"});
  EXPECT_EQ(hub_.last_event_id(), 3u);
  WatchOptions options;
  options.since_event_id = 1;
  const auto watcher = Watch(options);
  Publish({"4"});
  const EventHub::Batch batch = hub_.Pull(watcher, 100);
  EXPECT_EQ(batch.missed, 2u);
  EXPECT_THAT(Ids(batch), ElementsAre(4u));
}

TEST_F(EventHubTest, WhatNobodyWatchesNeedNotBeMadeAndIsNumbered) {
  EXPECT_TRUE(hub_.SkipUnwatched(absl::Now()));
  EXPECT_EQ(hub_.last_event_id(), 1u);
  const auto watcher = Watch({});
  EXPECT_FALSE(hub_.SkipUnwatched(absl::Now()));
  EXPECT_EQ(hub_.last_event_id(), 1u);
  hub_.RemoveWatcher(watcher);
  EXPECT_FALSE(hub_.SkipUnwatched(absl::Now())) << "it may come back to where it was";
  EXPECT_TRUE(hub_.SkipUnwatched(absl::Now() + 2 * EventHub::kGroupKept));
}

TEST_F(EventHubTest, ForgetsWhatWasKeptForAGroupWhoseTimeIsUp) {
  hub_.RemoveWatcher(Watch(Group("g")));
  Publish({"kept"});
  Event late = On("late");
  late.time = absl::Now() + 2 * EventHub::kGroupKept;
  hub_.Publish(late);
  const auto watcher = Watch(Group("g"));
  EXPECT_THAT(Pull(watcher), IsEmpty());
  Publish({"live"});
  EXPECT_THAT(Pull(watcher), ElementsAre("live"));
}

TEST_F(EventHubTest, AGroupIsToldOnceWhatItMissed) {
  const auto one = Watch(Group("g")), two = Watch(Group("g"));
  Publish({"1", "2", "3", "4", "5"});
  EXPECT_EQ(hub_.Pull(one, 1).missed, 1u);
  EXPECT_EQ(hub_.Pull(two, 1).missed, 0u);
}

TEST_F(EventHubTest, AWatcherHoldsAtMostItsMaxInFlight) {
  const auto one = Watch(Group("g", 2));
  Publish({"a", "b", "c"});
  EXPECT_THAT(Pull(one), ElementsAre("a", "b"));
  EXPECT_THAT(Pull(one), IsEmpty());
  hub_.Acknowledge(one, {1});
  EXPECT_EQ(wakes_, 1);
  EXPECT_THAT(Pull(one), ElementsAre("c"));
  hub_.Acknowledge(one, {2, 3, 99});
  hub_.Acknowledge(one, {2, 3});  // again: counted once
  Publish({"d", "e", "f"});
  EXPECT_THAT(Pull(one), ElementsAre("d", "e"));
}

TEST_F(EventHubTest, OneWatcherCannotAcknowledgeAnothersEvents) {
  const auto one = Watch(Group("g")), two = Watch(Group("g"));
  Publish({"a"});
  Pull(one);
  hub_.Acknowledge(two, {1});
  hub_.RemoveWatcher(one);
  EXPECT_THAT(Pull(two), ElementsAre("a"));
}

TEST_F(EventHubTest, RefusesTooManyGroups) {
  std::vector<std::uint64_t> watchers;
  for (std::size_t i = 0; i < EventHub::kMaxGroups; ++i) {
    watchers.push_back(Watch(Group(fmt::format("g{}", i))));
  }
  EXPECT_EQ(hub_.AddWatcher(Group("more"), [] {}).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(hub_.AddWatcher(Group("g0"), [] {}).ok());
  EXPECT_TRUE(hub_.AddWatcher({}, [] {}).ok());
}

TEST_F(EventHubTest, AnUnknownWatcherGetsNothing) {
  EXPECT_THAT(Pull(77), IsEmpty());
  hub_.Acknowledge(77, {1});
  hub_.RemoveWatcher(77);
}

// Watchers that pull when they are woken and end at any moment: none is woken past its end, and
// each event of a group is acknowledged exactly once.
TEST(EventHubConcurrencyTest, RemovingAWatcherWaitsForItsWake) {
  EventHub hub(1 << 20, std::size_t{1} << 30);
  constexpr int kRounds = 300, kEvents = 20'000;
  const auto keeper = *hub.AddWatcher(Group("g"), [] {});
  std::atomic<bool> over{false};
  std::thread publisher([&] {
    for (int i = 0; i < kEvents; ++i) hub.Publish(On("t"));
    over = true;
  });
  std::vector<int> seen(kEvents + 1, 0);
  const auto take = [&](std::uint64_t watcher) {
    const auto batch = hub.Pull(watcher, 64);
    std::vector<std::uint64_t> ids = Ids(batch);
    if (ids.size() > 32) ids.resize(32);  // the others go to the next one
    for (std::uint64_t id : ids) ++seen[id];
    hub.Acknowledge(watcher, ids);
    return !batch.events.empty();
  };
  for (int round = 0; round < kRounds || !over; ++round) {
    auto alive = std::make_unique<std::atomic<int>>(0);
    const auto watcher = *hub.AddWatcher(Group("g"), [flag = alive.get()] { ++*flag; });
    while (take(watcher) && round % 3 == 0) {
    }
    hub.RemoveWatcher(watcher);
    alive.reset();  // a late wake would write here
  }
  publisher.join();
  hub.RemoveWatcher(keeper);
  const auto last = *hub.AddWatcher(Group("g"), [] {});
  while (take(last)) {
  }
  hub.RemoveWatcher(last);
  for (std::uint64_t watcher = *hub.AddWatcher(Group("g"), [] {}); take(watcher);
       watcher = *hub.AddWatcher(Group("g"), [] {})) {
    hub.RemoveWatcher(watcher);
  }
  for (int id = 1; id <= kEvents; ++id) ASSERT_EQ(seen[static_cast<std::size_t>(id)], 1) << id;
}

std::string Of(const std::string& producer, const std::string& group) {
  return producer + EventHub::kGroupOf + group;
}

TEST_F(EventHubTest, G19AProducerHasAtMostHalfOfTheGroups) {
  for (std::size_t i = 0; i < EventHub::kMaxGroups / 2; ++i)
    ASSERT_TRUE(hub_.AddWatcher(Group(Of("greedy", fmt::format("{}", i))), [] {}).ok());
  EXPECT_EQ(hub_.AddWatcher(Group(Of("greedy", "more")), [] {}).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(hub_.AddWatcher(Group(Of("greedy", "0")), [] {}).ok()) << "it is there";
  for (std::size_t i = 0; i < EventHub::kMaxGroups / 2; ++i)
    ASSERT_TRUE(hub_.AddWatcher(Group(Of("calm", fmt::format("{}", i))), [] {}).ok());
}

class EventBytesTest : public ::testing::Test {
 protected:
  static constexpr std::size_t kBytes = 100'000;

  void Publish(int count) {
    for (int i = 0; i < count; ++i) {
      Event event = On("t");
      event.payload.assign(1000, 'x');
      hub_.Publish(std::move(event));
    }
  }
  std::vector<std::uint64_t> PullAll(std::uint64_t watcher) {
    std::vector<std::uint64_t> ids;
    while (true) {
      const auto batch = hub_.Pull(watcher, 16);
      missed_ += batch.missed;
      const auto more = Ids(batch);
      if (more.empty()) return ids;
      ids.insert(ids.end(), more.begin(), more.end());
    }
  }

  EventHub hub_{1000, kBytes};
  std::uint64_t missed_ = 0;
  int wakes_ = 0;
};

// What watchers have been given and have not acknowledged is memory too.
TEST_F(EventBytesTest, G19EventsInFlightCount) {
  const auto group = *hub_.AddWatcher(Group("g"), [this] { ++wakes_; });
  const std::size_t one = (Publish(1), hub_.counts().bytes);
  for (int round = 0; round < 20; ++round) {
    Publish(20);
    (void)PullAll(group);
    ASSERT_LE(hub_.counts().bytes, kBytes);
  }
  // Half is in flight, and the newest fill the other half.
  EXPECT_GT(hub_.counts().bytes, kBytes - 2 * one);
  const auto batch = hub_.Pull(group, 100);
  EXPECT_THAT(batch.events, IsEmpty());
}

TEST_F(EventBytesTest, G19AcknowledgingMakesRoom) {
  const auto group = *hub_.AddWatcher(Group("g"), [this] { ++wakes_; });
  Publish(60);
  std::vector<std::uint64_t> ids = PullAll(group);
  EXPECT_LT(ids.size(), 60u);
  const int wakes = wakes_;
  std::size_t all = ids.size();
  for (int round = 0; round < 30 && !ids.empty(); ++round) {
    hub_.Acknowledge(group, ids);
    ids = PullAll(group);
    all += ids.size();
  }
  EXPECT_GT(wakes_, wakes);
  EXPECT_EQ(all, 60u) << "none is lost";
  hub_.Acknowledge(group, ids);
  Publish(200);
  EXPECT_LE(hub_.counts().bytes, kBytes);
  EXPECT_GT(hub_.counts().bytes, kBytes * 9 / 10) << "all of it is for the buffer again";
}

TEST(EventHubSharesTest, G19AWatcherThatAcknowledgesNothingDoesNotStarveItsGroup) {
  EventHub hub(1000, 400'000);
  WatchOptions options;
  options.group = "g";
  options.max_in_flight = 1000;
  const auto deaf = *hub.AddWatcher(options, [] {}), honest = *hub.AddWatcher(options, [] {});
  std::size_t taken = 0, got = 0;
  for (int i = 0; i < 900; ++i) {
    Event event = On("t");
    event.payload = std::string(1000, 'x');
    hub.Publish(std::move(event));
    taken += hub.Pull(deaf, 10).events.size();
    const auto batch = hub.Pull(honest, 10);
    got += batch.events.size();
    hub.Acknowledge(honest, Ids(batch));
  }
  EXPECT_LT(taken, 60u) << "an eighth of the bytes";
  EXPECT_EQ(taken + got, 900u);
}

TEST_F(EventBytesTest, G19AGroupThatDoesNotAcknowledgeLeavesOthersTheirs) {
  const auto greedy = *hub_.AddWatcher(Group(Of("greedy", "g")), [] {});
  const auto more = *hub_.AddWatcher(Group(Of("greedy", "h")), [] {});
  const auto calm = *hub_.AddWatcher(Group(Of("calm", "g")), [] {});
  for (int round = 0; round < 40; ++round) {
    Publish(5);
    (void)PullAll(greedy);
    (void)PullAll(more);
    const auto batch = hub_.Pull(calm, 100);
    EXPECT_EQ(batch.missed, 0u);
    ASSERT_EQ(batch.events.size(), 5u) << round;
    hub_.Acknowledge(calm, Ids(batch));
  }
  EXPECT_GT(missed_, 0u);
  // With its watcher gone they are still held, and go with the group.
  hub_.RemoveWatcher(greedy);
  hub_.RemoveWatcher(more);
  EXPECT_LE(hub_.counts().bytes, kBytes);
}

}  // namespace
}  // namespace herald
