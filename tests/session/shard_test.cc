#include "session/shard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <future>
#include <string>
#include <vector>

#include "tests/session/node.h"

namespace herald {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(ShardTest, RunsTasksInOrderOnItsThread) {
  Node node;
  std::vector<int> order;
  bool elsewhere = false;
  for (int i = 0; i < 5000; ++i) {  // more than one turn
    node.shard().Post([&, i] {
      order.push_back(i);
      elsewhere = elsewhere || !node.shard().IsCurrent();
    });
  }
  node.Settle();
  ASSERT_THAT(order, SizeIs(5000));
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  EXPECT_FALSE(elsewhere);
  EXPECT_FALSE(node.shard().IsCurrent());
}

// One wake a burst: a shard that is never idle must not collect wake-ups that find nothing.
TEST(ShardTest, DrainsNoMoreOftenThanThereAreBursts) {
  Node node;
  constexpr std::uint64_t kBursts = 5000;
  std::promise<void> done;
  std::function<void(std::uint64_t)> next = [&](std::uint64_t left) {
    if (left == 0) return done.set_value();
    node.shard().Post([&, left] { next(left - 1); });  // comes while this one is drained
  };
  node.shard().Post([&] { next(kBursts); });
  done.get_future().wait();
  node.Settle();
  node.Settle();
  EXPECT_LE(node.shard().stats().drains, kBursts + 10);
}

TEST(ShardTest, ACloseIsDoneOnceAndNothingIsQueuedAfterIt) {
  Node node;
  auto session = node.Add({.remove_on_close = false});
  RunOn(node.shard(), [&] {
    session->Close({CloseCode::kByProducer, "bye", {}});
    session->Close({CloseCode::kNormal, "again", {}});
    EXPECT_FALSE(session->Enqueue(MakeFrame(Opcode::kText, "x")));
    EXPECT_EQ(node.shard().Find(session->id()), nullptr);
    EXPECT_NE(node.shard().FindAny(session->id()), nullptr);
  });
  ASSERT_THAT(session->closes(), SizeIs(1));
  EXPECT_EQ(session->closes()[0].reason, "bye");
}

TEST(ShardTest, JoinAndLeaveAreToldToTheWatchers) {
  EventHub hub(100, 1 << 20);
  ShardOptions options;
  options.max_topics_per_session = 1;  // the personal one does not count
  options.events = &hub;
  Node node(1, options);
  const auto watcher = *hub.AddWatcher({}, [] {});
  auto session = node.Add({}, 0, "alice");
  RunOn(node.shard(), [&] {
    EXPECT_TRUE(session->Join({"a"}).ok());
    EXPECT_TRUE(session->Join({"a"}).ok());
    EXPECT_EQ(session->Join({"b"}).code(), absl::StatusCode::kResourceExhausted);
    EXPECT_TRUE(session->Leave("a"));
    EXPECT_FALSE(session->Leave("a"));
  });
  const auto batch = hub.Pull(watcher, 100);
  ASSERT_THAT(batch.events, SizeIs(2));
  EXPECT_EQ(batch.events[0].event->kind, EventKind::kSubscribed);
  EXPECT_EQ(batch.events[0].event->user_id, "alice");
  EXPECT_EQ(batch.events[0].event->session_id, session->id_text());
  EXPECT_EQ(batch.events[1].event->kind, EventKind::kUnsubscribed);
  EXPECT_EQ(batch.events[1].event->topic, "a");
}

TEST(ShardTest, TimersRun) {
  struct Alarm final : Timer {
    void OnTimer() override { fired.set_value(); }
    std::promise<void> fired;
  } alarm;
  Node node;
  const auto before = std::chrono::steady_clock::now();
  RunOn(node.shard(), [&] { node.shard().timers().Schedule(alarm, absl::Milliseconds(150)); });
  ASSERT_EQ(alarm.fired.get_future().wait_for(kDeadline), std::future_status::ready);
  EXPECT_GE(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(150));
}

TEST(ShardTest, AsksProducersToWaitAndCallsThemBack) {
  Node node(1, {.mailbox = {.high_messages = 10}});
  std::promise<void> low;
  {
    Busy busy(node.shard());
    for (int i = 0; i < 20; ++i) node.shard().Post([] {});
    EXPECT_TRUE(node.shard().AboveHighWatermark());
    EXPECT_TRUE(node.shard().NotifyWhenLow([&] { low.set_value(); }));
  }
  EXPECT_EQ(low.get_future().wait_for(kDeadline), std::future_status::ready);
  EXPECT_FALSE(node.shard().AboveHighWatermark());
}

TEST(ShardTest, StoppingDropsItsSessionsAndUnreadMail) {
  std::weak_ptr<RecordingSession> session;
  auto held = std::make_shared<int>();
  {
    Node node;
    session = node.Add();
    {
      Busy busy(node.shard());
      node.shard().Post([&node] { node.shard().io().stop(); });
      for (int i = 0; i < 5000; ++i) node.shard().Post([held] {});
    }
  }
  EXPECT_TRUE(session.expired());
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace herald
