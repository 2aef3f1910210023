// Publishers, subscribers that come and go, and questions, all at once; to be run under
// ThreadSanitizer. What must hold: each session sees the offsets of each topic strictly in order
// and without a gap, from the one after its start.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include "tests/session/node.h"

namespace herald {
namespace {

constexpr int kShards = 3;
constexpr int kPublishers = 3;
constexpr int kTopics = 4;
constexpr int kMessages = 4000;  // of one publisher

std::string TopicOf(int i) { return fmt::format("kept/{}", i); }

// One session with the offset that must come next in each of its topics. On its shard.
struct Watched {
  RecordingSessionPtr session;
  std::map<std::string, std::uint64_t> next;
  std::size_t checked = 0;  // of `received()`
};

TEST(ShardStressTest, EverySubscriberSeesEachTopicInOrderWithoutGapOrRepeat) {
  EventHub hub(1000, 1 << 20);
  Node node(kShards, {.events = &hub});
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> faults{0}, published{0}, delivered{0}, closed{0};

  // Compares what came since the last look with what had to come.
  const auto check = [&](Watched& watched) {
    const auto received = watched.session->received();
    for (; watched.checked < received.size(); ++watched.checked) {
      const Received& one = received[watched.checked];
      const auto next = watched.next.find(one.topic);
      if (next == watched.next.end() || one.offset != next->second) {
        ++faults;
        return;
      }
      ++next->second;
      ++delivered;
    }
  };

  std::vector<std::thread> threads;
  for (int p = 0; p < kPublishers; ++p) {
    threads.emplace_back([&, p] {
      std::mt19937 random(static_cast<unsigned>(p));
      // And on until the others have had their turn, on a machine that has no core for them.
      for (int i = 0; i < kMessages || (i < 100 * kMessages && (delivered == 0 || closed == 0));
           ++i) {
        ++published;
        const ExceptionsPtr except = i % 5 == 0 ? std::make_shared<const Exceptions>() : nullptr;
        node.broker().Publish(
            {Body("x"), TopicOf(static_cast<int>(random() % kTopics)), except, nullptr, true},
            [&](absl::StatusOr<Published> answer) {
              if (!answer.ok() || answer->position.empty()) ++faults;
            });
      }
    });
  }
  // Sessions that subscribe, read for a while, leave one topic, and end.
  for (int shard_index = 0; shard_index < kShards; ++shard_index) {
    threads.emplace_back([&, shard_index] {
      Shard& shard = node.shard(shard_index);
      std::mt19937 random(static_cast<unsigned>(100 + shard_index));
      while (!over) {
        auto watched = std::make_shared<Watched>();
        watched->session = node.Add({}, shard_index, fmt::format("user{}", random() % 3));
        const int first = static_cast<int>(random() % kTopics);
        for (int i = 0; i < 3; ++i) {
          const std::string topic = TopicOf((first + i) % kTopics);
          shard.Post([&, watched, topic] {
            shard.Subscribe(*watched->session, topic, {}, 0,
                            [&, watched, topic](absl::StatusOr<FeedStart> start) {
                              if (!start.ok()) return void(++faults);
                              watched->next[topic] = start->position.offset + 1;
                            });
          });
        }
        for (unsigned i = random() % 5 + 1; i > 0; --i) RunOn(shard, [&] { check(*watched); });
        RunOn(shard, [&] {
          // In the queue still: part of what was promised.
          shard.Unsubscribe(*watched->session, TopicOf(first));
          watched->session->Flush();
          check(*watched);
          watched->next.erase(TopicOf(first));
        });
        RunOn(shard, [&] {
          watched->session->Flush();
          check(*watched);
          if (random() % 2 == 0) {
            watched->session->Close({});
          } else {
            shard.Remove(*watched->session);
          }
        });
        ++closed;
      }
    });
  }
  // Someone who asks all the time.
  threads.emplace_back([&] {
    const auto watcher = *hub.AddWatcher({}, [] {});
    while (!over) {
      Awaited<std::vector<SessionInfo>> listed;
      node.table().List({}, listed.callback());
      for (const SessionInfo& info : listed.Get()) {
        if (info.id.empty()) ++faults;
      }
      Awaited<std::uint64_t> met;
      node.table().ForEach(
          {ToUsers{{"user0", "user1"}}, nullptr},
          [](Session& session) { (void)session.Join({"side"}); }, met.callback());
      met.Get();
      hub.Pull(watcher, 100);
      for (auto& shard : node.shards()) (void)shard->stats().deliveries.load();
    }
    hub.RemoveWatcher(watcher);
  });

  for (int p = 0; p < kPublishers; ++p) threads[static_cast<std::size_t>(p)].join();
  over = true;
  for (std::size_t i = kPublishers; i < threads.size(); ++i) threads[i].join();
  EXPECT_EQ(faults, 0u);
  EXPECT_GT(delivered, 0u);
  EXPECT_GT(closed, 0u);
  node.Settle();
  EXPECT_EQ(node.index().Count().topics, 0u);
  for (auto& shard : node.shards()) {
    EXPECT_EQ(shard->stats().sessions, 0u);
    EXPECT_EQ(shard->stats().queued_bytes, 0);
  }
  std::uint64_t last = 0;
  for (int i = 0; i < kTopics; ++i) last += node.Read({.topic = TopicOf(i)}).current.offset;
  EXPECT_EQ(last, published);
}

// A session that is there from the start to the end gets everything.
TEST(ShardStressTest, NothingIsLostBetweenShards) {
  Node node(kShards);
  std::vector<RecordingSessionPtr> sessions;
  for (int i = 0; i < kShards; ++i) {
    sessions.push_back(node.Add({}, i));
    ASSERT_TRUE(node.Subscribe(*sessions.back(), "kept/a").ok());
  }
  std::vector<std::thread> publishers;
  for (int p = 0; p < kPublishers; ++p) {
    publishers.emplace_back([&, p] {
      for (int i = 0; i < kMessages; ++i) {
        node.broker().Publish({Body(fmt::format("{}/{}", p, i)), "kept/a", nullptr, nullptr, true},
                              [](absl::StatusOr<Published>) {});
      }
    });
  }
  for (std::thread& publisher : publishers) publisher.join();
  node.Settle();
  const auto expected = node.ReceivedBy(*sessions[0]);
  ASSERT_EQ(expected.size(), static_cast<std::size_t>(kPublishers * kMessages));
  std::map<std::string, int> next;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(expected[i].offset, i + 1);
    const std::size_t slash = expected[i].payload.find('/');
    ASSERT_EQ(std::stoi(expected[i].payload.substr(slash + 1)),
              next[expected[i].payload.substr(0, slash)]++);
  }
  for (auto& session : sessions) EXPECT_EQ(node.ReceivedBy(*session), expected);
}

}  // namespace
}  // namespace herald
