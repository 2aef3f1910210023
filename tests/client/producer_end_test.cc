#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "client/producer.h"
#include "tests/client/producer_fixture.h"

namespace herald {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::SizeIs;
using Plan = FakeHerald::Plan;

TEST(ProducerTest, CloseWaitsForResultsAndTakesNoMore) {
  FakeHerald herald;
  herald.Hold();
  Told told;
  Producer producer(herald.Channel(), Quick());
  SendMany(producer, told, 10);
  std::thread release([&] {
    herald.WaitRequests(1);
    herald.Release();
  });
  EXPECT_TRUE(producer.Close(Deadline()).ok());
  release.join();
  EXPECT_EQ(told.seqs(), UpTo(10));
  EXPECT_EQ(producer.Send(Deliver()).code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(producer.Close(Deadline()).ok());
}

TEST(ProducerTest, CloseGoesOnOverACut) {
  FakeHerald herald(First({{.cut_after = 2}, {.cut_before = 0}}));
  Told told;
  Producer producer(herald.Channel(), Quick());
  SendMany(producer, told, 10);
  EXPECT_TRUE(producer.Close(Deadline()).ok());
  EXPECT_EQ(told.seqs(), UpTo(10));
  EXPECT_EQ(herald.carried_out(), UpTo(10));
}

TEST(ProducerTest, CloseAtItsDeadlineFailsWhatIsLeft) {
  FakeHerald herald([](std::size_t) { return Plan{.mute = true}; });
  Told told;
  Producer producer(herald.Channel(), Quick());
  SendMany(producer, told, 3);
  EXPECT_EQ(producer.Close(absl::Now() + absl::Milliseconds(50)).code(),
            StatusCode::kDeadlineExceeded);
  EXPECT_THAT(told.errors, SizeIs(3));
}

TEST(ProducerTest, NothingSentIsClosedAtOnce) {
  FakeHerald herald;
  Producer producer(herald.Channel(), Quick());
  EXPECT_TRUE(producer.Close(Deadline()).ok());
}

TEST(ProducerTest, TheDestructorTellsAllThatHasNoResult) {
  FakeHerald herald([](std::size_t) { return Plan{.mute = true}; });
  Told told;
  absl::Status end;
  {
    Producer::Options options = Quick();
    options.on_end = [&](const absl::Status& status) { end = status; };
    Producer producer(herald.Channel(), options);
    SendMany(producer, told, 100);
  }
  EXPECT_THAT(told.errors, SizeIs(100));
  EXPECT_EQ(told.errors.at(0).code(), StatusCode::kCancelled);
  EXPECT_EQ(end.code(), StatusCode::kCancelled);
}

TEST(ProducerTest, TheDestructorDoesNotWaitForTheBackoff) {
  FakeHerald herald([](std::size_t) { return Refused(grpc::StatusCode::UNAVAILABLE); });
  const absl::Time start = absl::Now();
  for (int i = 0; i < 20; ++i) {
    Producer::Options options;
    options.initial_backoff = options.max_backoff = absl::Minutes(10);
    absl::Notification broken;
    options.on_broken = [&](const Producer::Outage&) {
      if (!broken.HasBeenNotified()) broken.Notify();
      return true;
    };
    Producer producer(herald.Channel(), options);
    if (i % 2) broken.WaitForNotification();
  }
  EXPECT_LT(absl::Now() - start, absl::Seconds(20));
}

TEST(ProducerTest, CallbacksMaySendAndCancel) {
  FakeHerald herald;
  Producer::Options options = Quick();
  options.max_unanswered = 1;
  Producer producer(herald.Channel(), options);
  absl::Notification ended;
  int sent = 1;
  std::function<void(absl::StatusOr<v1::CommandResult>)> next =
      [&](const absl::StatusOr<v1::CommandResult>& result) {
        if (!result.ok()) return ended.Notify();
        if (sent == 200) {
          EXPECT_TRUE(producer.Send(Deliver(), next).ok());
          return producer.Cancel();
        }
        ++sent;
        EXPECT_TRUE(producer.Send(Deliver(), next).ok());
      };
  ASSERT_TRUE(producer.Send(Deliver(), next).ok());
  EXPECT_TRUE(ended.WaitForNotificationWithTimeout(absl::Seconds(20)));
  EXPECT_EQ(sent, 200);
}

TEST(ProducerTest, NewsOfTheStreamComeInOrder) {
  FakeHerald herald(First({{.cut_after = 2}}));
  std::vector<std::string> news;
  Producer::Options options = Quick();
  options.max_batch = 1;
  options.on_opened = [&](const v1::PushOpened& opened) {
    news.push_back("opened " + std::to_string(opened.last_seq()));
  };
  options.on_broken = [&](const Producer::Outage& outage) {
    EXPECT_TRUE(outage.connected_before);
    news.push_back("broken");
    return true;
  };
  options.on_end = [&](const absl::Status& status) { news.push_back("end " + status.ToString()); };
  Producer producer(herald.Channel(), options);
  EXPECT_TRUE(producer.SendFuture(Deliver()).get().ok());
  EXPECT_TRUE(producer.SendFuture(Deliver()).get().ok());
  EXPECT_TRUE(producer.Close(Deadline()).ok());
  EXPECT_THAT(news, ElementsAre("opened 0", "broken", "opened 2", "end OK"));
}

}  // namespace
}  // namespace herald
