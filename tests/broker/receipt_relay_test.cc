#include "broker/receipt_relay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>
#include <vector>

#include "tests/broker/local_cluster.h"

namespace herald {
namespace {

using ::testing::IsEmpty;

constexpr auto kNoSession = static_cast<std::size_t>(DropReason::kNoSession);
constexpr auto kTimeout = static_cast<std::size_t>(DropReason::kTimeout);

// Three nodes; the test stands in for their brokers.
class ReceiptRelayTest : public ::testing::Test {
 protected:
  struct Member {
    Member(LocalNetwork& network, const std::string& name)
        : network(network), node(network.Join(name)), relay(*node, clock) {
      relay.set_delivered([this](std::string_view) -> std::optional<std::uint64_t> {
        ++asked;
        if (delivers_when_asked) MeetAnother();
        const std::int64_t at = delivered;
        return at < 0 ? std::nullopt : std::optional(static_cast<std::uint64_t>(at));
      });
    }
    ~Member() {
      node->Stop(false);
      network.Leave(*node);
      MutexLock lock(mutex);
      deliveries.clear();
    }
    // As a delivery does that holds what the answer waits for.
    void MeetAnother() {
      auto met = std::make_shared<std::promise<void>>();
      std::future<void> done = met->get_future();
      {
        MutexLock lock(mutex);
        deliveries.emplace_back([this, met] {
          relay.Incoming("c/1/w/1000", 0);
          met->set_value();
        });
      }
      if (done.wait_for(std::chrono::seconds(1)) != std::future_status::ready) ++stuck;
    }
    LocalNetwork& network;
    std::unique_ptr<ClusterNode> node;
    ReceiptClock clock;
    std::atomic<std::int64_t> delivered{-1};  // -1: nobody is on the topic
    std::atomic<bool> delivers_when_asked{false};
    std::atomic<int> asked{0}, stuck{0};
    Mutex mutex;
    std::vector<std::jthread> deliveries ABSL_GUARDED_BY(mutex);
    ReceiptRelay relay;
  };

  void SetUp() override {
    for (Member* member : {&a_, &b_, &c_}) ASSERT_TRUE(member->node->Start().ok());
    ASSERT_TRUE(WaitPeers(*a_.node, {"b", "c"}));
    ASSERT_TRUE(WaitPeers(*b_.node, {"a", "c"}));
  }

  struct Taken {
    ReceiptPtr receipt;
    std::string header;
    std::shared_ptr<Awaited<Receipt::Counts>> counts = std::make_shared<Awaited<Receipt::Counts>>();
  };
  // A message that `a` has taken, held as CommandRunner does.
  Taken Take(Receipt::Level level = Receipt::Level::kWritten,
             absl::Duration timeout = absl::Seconds(30)) {
    Taken taken;
    taken.receipt = std::make_shared<Receipt>(
        level,
        [done = taken.counts->callback()](const Receipt::Counts& counts) mutable { done(counts); },
        absl::Now() + timeout);
    taken.header = a_.relay.Outgoing(taken.receipt);
    return taken;
  }
  void Publish(const Taken& taken, std::uint64_t offset) {
    a_.relay.Published(taken.header, "a topic with spaces", offset);
    taken.receipt->Release();
  }
  // As a broker does with a message for `sessions` sessions here, all of which take it.
  static void Deliver(Member& member, const Taken& taken, std::uint64_t sessions) {
    const ReceiptPtr receipt = member.relay.Incoming(taken.header, sessions);
    ASSERT_NE(receipt, nullptr);
    for (std::uint64_t i = 0; i < sessions; ++i) {
      receipt->Matched();
      receipt->Written();
    }
    receipt->Release();
  }

  LocalNetwork network_;
  Member a_{network_, "a"}, b_{network_, "b"}, c_{network_, "c"};
};

TEST_F(ReceiptRelayTest, SumsWhatAllNodesCount) {
  Taken taken = Take();
  a_.delivered = b_.delivered = 1;
  Deliver(a_, taken, 1);
  Publish(taken, 1);
  EXPECT_FALSE(taken.counts->Ready());
  Deliver(b_, taken, 3);
  const Receipt::Counts counts = taken.counts->Get();
  EXPECT_EQ(counts.matched, 4u);
  EXPECT_EQ(counts.written, 4u);
  EXPECT_EQ(counts.unanswered_nodes, 0u);
  EXPECT_EQ(counts.dropped[kNoSession], 0u);
}

TEST_F(ReceiptRelayTest, TheOthersMayBeFasterThanTheBrokersAnswer) {
  Taken taken = Take();
  Deliver(b_, taken, 2);
  Deliver(c_, taken, 1);
  absl::SleepFor(absl::Milliseconds(20));
  EXPECT_FALSE(taken.counts->Ready());
  Publish(taken, 1);
  EXPECT_EQ(taken.counts->Get().written, 3u);
}

TEST_F(ReceiptRelayTest, NoSessionOnlyIfNobodyInTheClusterWasMet) {
  Taken nobody = Take();
  Publish(nobody, 1);
  Receipt::Counts counts = nobody.counts->Get();
  EXPECT_EQ(counts.matched, 0u);
  EXPECT_EQ(counts.dropped[kNoSession], 1u);
  Taken elsewhere = Take();
  Deliver(c_, elsewhere, 1);
  Publish(elsewhere, 2);
  counts = elsewhere.counts->Get();
  EXPECT_EQ(counts.matched, 1u);
  EXPECT_EQ(counts.dropped[kNoSession], 0u);
}

TEST_F(ReceiptRelayTest, OneThatIsStillBehindIsWaitedFor) {
  Taken taken = Take();
  b_.delivered = 6;
  Publish(taken, 7);
  absl::SleepFor(absl::Milliseconds(250));
  EXPECT_FALSE(taken.counts->Ready()) << "it may have subscribers for what is on its way";
  Deliver(b_, taken, 2);
  EXPECT_EQ(taken.counts->Get().written, 2u);
}

TEST_F(ReceiptRelayTest, OneThatHasPassedTheOffsetWithoutItHasNothing) {
  Taken taken = Take();
  a_.delivered = b_.delivered = 6;
  c_.delivered = 9;
  Publish(taken, 7);
  absl::SleepFor(absl::Milliseconds(50));
  EXPECT_FALSE(taken.counts->Ready());
  a_.delivered = b_.delivered = 7;
  EXPECT_EQ(taken.counts->Get().dropped[kNoSession], 1u);
  // It came too late to be counted, and is not counted.
  EXPECT_EQ(b_.relay.Incoming(taken.header, 1), nullptr);
}

TEST_F(ReceiptRelayTest, ATopicWithoutOffsetsIsAnsweredAfterAMoment) {
  Taken taken = Take();
  a_.delivered = b_.delivered = c_.delivered = 0;
  Deliver(b_, taken, 1);
  Publish(taken, 0);
  EXPECT_EQ(taken.counts->Get().written, 1u);
}

TEST_F(ReceiptRelayTest, NothingIsCountedTwice) {
  Taken taken = Take();
  Deliver(a_, taken, 1);
  EXPECT_EQ(a_.relay.Incoming(taken.header, 1), nullptr);
  Deliver(b_, taken, 1);
  EXPECT_EQ(b_.relay.Incoming(taken.header, 1), nullptr);
  Publish(taken, 1);
  EXPECT_EQ(taken.counts->Get().matched, 2u);
}

TEST_F(ReceiptRelayTest, ALostAnswerIsAskedForAgain) {
  std::atomic<int> dropped{0};
  network_.set_drop([&](const ClusterFrame& frame) {
    return frame.word.starts_with("receipt.") && ++dropped <= 2;
  });
  Taken taken = Take();
  Deliver(b_, taken, 2);
  Publish(taken, 1);
  const Receipt::Counts counts = taken.counts->Get();
  EXPECT_GT(dropped, 2);
  EXPECT_EQ(counts.written, 2u);
  EXPECT_EQ(counts.unanswered_nodes, 0u);
}

TEST_F(ReceiptRelayTest, WhatALostNodeCountedIsNotCountedAndTold) {
  Taken taken = Take();
  c_.delivered = 0;  // behind
  Deliver(b_, taken, 1);
  Publish(taken, 1);
  network_.Silence("c");
  const Receipt::Counts counts = taken.counts->Get();
  EXPECT_EQ(counts.matched, 1u);
  EXPECT_EQ(counts.written, 1u);
  EXPECT_EQ(counts.unanswered_nodes, 1u);
}

TEST_F(ReceiptRelayTest, WithoutAnswersNobodySaysThatThereWasNoSession) {
  Taken taken = Take();
  b_.delivered = c_.delivered = 0;
  Publish(taken, 1);
  taken.receipt->Expire();
  const Receipt::Counts counts = taken.counts->Get();
  EXPECT_EQ(counts.matched, 0u);
  EXPECT_EQ(counts.dropped[kNoSession], 0u);
  EXPECT_EQ(counts.unanswered_nodes, 2u);
}

TEST_F(ReceiptRelayTest, AnotherNodesReceiptRunsOutBeforeTheOrigins) {
  Taken taken = Take(Receipt::Level::kAcked, absl::Seconds(3));
  const ReceiptPtr receipt = b_.relay.Incoming(taken.header, 1);
  ASSERT_NE(receipt, nullptr);
  EXPECT_EQ(receipt->level(), Receipt::Level::kAcked);
  receipt->Matched(2);
  receipt->Written(2);
  receipt->Acked();
  receipt->Release();
  Publish(taken, 1);
  absl::SleepFor(absl::Milliseconds(20));
  EXPECT_FALSE(taken.counts->Ready());
  b_.clock.Advance(receipt->deadline() + absl::Milliseconds(200));
  const Receipt::Counts counts = taken.counts->Get();
  EXPECT_LT(receipt->deadline(), taken.receipt->deadline());
  EXPECT_EQ(counts.matched, 2u);
  EXPECT_EQ(counts.written, 2u);
  EXPECT_EQ(counts.acked, 1u);
  EXPECT_EQ(counts.dropped[kTimeout], 1u);
}

TEST_F(ReceiptRelayTest, ForgetsWhatHasEndedOrFailed) {
  Taken failed = Take();
  a_.relay.Failed(failed.header);
  EXPECT_EQ(a_.relay.Incoming(failed.header, 1), nullptr);
  Taken expired = Take();
  expired.receipt->Expire();
  Taken done = Take();
  Publish(done, 1);
  done.counts->Get();
  EXPECT_TRUE(Eventually([&] { return a_.relay.open() == 0 && b_.relay.open() == 0; }));
}

TEST_F(ReceiptRelayTest, GarbageIsNoHeader) {
  for (const char* bad : {"", "/", "a", "a/0/w/5", "a/x/w/5", "a/1/z/5", "/1/w/5"})
    EXPECT_EQ(b_.relay.Incoming(bad, 1), nullptr) << bad;
}

TEST_F(ReceiptRelayTest, WhatGoesStraightToANodeIsExpectedFromItAlone) {
  Taken taken;
  taken.receipt = std::make_shared<Receipt>(
      Receipt::Level::kWritten,
      [done = taken.counts->callback()](const Receipt::Counts& counts) mutable { done(counts); },
      absl::Now() + absl::Seconds(30));
  taken.header = a_.relay.Expect(taken.receipt, {"b"});
  taken.receipt->Release();
  Deliver(b_, taken, 1);
  const Receipt::Counts counts = taken.counts->Get();
  EXPECT_EQ(counts.matched, 1u);
  EXPECT_EQ(counts.written, 1u);
}

// Whatever makes the relay ask how far the broker is (a publication, its news, a tick): the broker may be
// in the middle of a delivery, with a lock of its own, and need the relay to go on.
TEST_F(ReceiptRelayTest, NeverWaitsForTheBrokersLockWithItsOwn) {
  a_.delivered = b_.delivered = 0;  // behind: they are asked again
  a_.delivers_when_asked = b_.delivers_when_asked = true;
  Publish(Take(), 3);
  while (a_.asked < 3 || b_.asked < 3) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_EQ(a_.stuck, 0);
  EXPECT_EQ(b_.stuck, 0);
}

// Many publications at once, from several threads, over nodes that deliver on their own.
TEST_F(ReceiptRelayTest, TheSumsAreRightHoweverThreadsMeet) {
  constexpr int kMessages = 300;
  std::vector<Taken> taken;
  for (int i = 0; i < kMessages; ++i) taken.push_back(Take());
  std::vector<std::jthread> threads;
  for (Member* member : {&a_, &b_, &c_}) {
    member->delivered = 0;
    threads.emplace_back([&, member] {
      for (int i = 0; i < kMessages; ++i) {
        Deliver(*member, taken[static_cast<std::size_t>(i)], 2);
        member->delivered = i + 1;
      }
    });
  }
  threads.emplace_back([&] {
    for (int i = 0; i < kMessages; ++i)
      Publish(taken[static_cast<std::size_t>(i)], static_cast<std::uint64_t>(i) + 1);
  });
  for (const Taken& one : taken) {
    const Receipt::Counts counts = one.counts->Get();
    EXPECT_EQ(counts.matched, 6u);
    EXPECT_EQ(counts.written, 6u);
    EXPECT_EQ(counts.unanswered_nodes, 0u);
  }
}

}  // namespace
}  // namespace herald
