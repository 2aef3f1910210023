#include "client/producer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tests/client/producer_fixture.h"

namespace herald {
namespace {

using absl::StatusCode;
using testing::Each;
using testing::ElementsAre;
using testing::SizeIs;

TEST(ProducerTest, EachCommandGetsItsResultInOrder) {
  FakeHerald herald;
  herald.set_action([](const v1::Command& command) {
    v1::CommandResult result;
    result.set_message_id(command.deliver().message().payload());
    return result;
  });
  Told told;
  Producer producer(herald.Channel(), {});
  for (int i = 1; i <= 1000; ++i)
    ASSERT_TRUE(producer.Send(Deliver("m" + std::to_string(i)), told.Result()).ok());
  ASSERT_TRUE(producer.Flush(Deadline()).ok());
  EXPECT_EQ(told.seqs(), UpTo(1000));
  EXPECT_EQ(told.results.back().message_id(), "m1000");
  EXPECT_EQ(herald.carried_out(), UpTo(1000));
  EXPECT_EQ(producer.unanswered(), 0U);
  EXPECT_TRUE(producer.Close(Deadline()).ok());
  EXPECT_EQ(herald.streams(), 1U);
}

TEST(ProducerTest, TheFutureHasTheResultOrTheReason) {
  FakeHerald herald;
  Producer producer(herald.Channel(), {});
  EXPECT_EQ(producer.SendFuture(Deliver()).get()->seq(), 1U);
  EXPECT_EQ(producer.SendFuture(Deliver()).get()->seq(), 2U);
  ASSERT_TRUE(producer.Close(Deadline()).ok());
  EXPECT_EQ(producer.SendFuture(Deliver()).get().status().code(), StatusCode::kFailedPrecondition);
}

TEST(ProducerTest, ACommandMayHaveItsOwnSeq) {
  FakeHerald herald;
  Told told;
  Producer producer(herald.Channel(), {});
  for (const std::uint64_t seq : {0U, 100U, 0U, 50U, 0U}) {
    v1::Command command = Deliver();
    command.set_seq(seq);
    ASSERT_TRUE(producer.Send(std::move(command), told.Result()).ok());
  }
  ASSERT_TRUE(producer.Flush(Deadline()).ok());
  EXPECT_THAT(told.seqs(), ElementsAre(1, 100, 101, 50, 102));
}

TEST(ProducerTest, OpenHasAnIdOfItsOwnAndTheToken) {
  FakeHerald herald;
  std::set<std::string> ids;
  for (int i = 0; i < 2; ++i) {
    Producer::Options options;
    options.token = "secret";
    options.default_report = v1::REPORT_LEVEL_ACKED;
    Producer producer(herald.Channel(), options);
    EXPECT_TRUE(producer.SendFuture(Deliver()).get().ok());
    EXPECT_TRUE(producer.Close(Deadline()).ok());
  }
  for (const v1::PushRequest& request : herald.requests()) {
    if (!request.has_open()) continue;
    ids.insert(request.open().producer_id());
    EXPECT_EQ(request.open().default_report(), v1::REPORT_LEVEL_ACKED);
  }
  EXPECT_THAT(ids, SizeIs(2));
  EXPECT_THAT(ids, Each(SizeIs(32)));
  EXPECT_EQ(herald.authorization(), "Bearer secret");
}

// Limits.

TEST(ProducerTest, SendRefusesAtTheLimitOfCommandsAndTakesThemWhenThereIsRoom) {
  FakeHerald herald;
  herald.Hold();
  Told told;
  Producer::Options options = Quick();
  options.max_unanswered = 3;
  Producer producer(herald.Channel(), options);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(producer.Send(Deliver(), told.Result()).ok());
  v1::Command command = Deliver("keep");
  EXPECT_EQ(producer.Send(std::move(command), told.Result()).code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(command.deliver().message().payload(), "keep");  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(producer.unanswered(), 3U);
  EXPECT_EQ(producer.WaitForRoom(absl::Now() + absl::Milliseconds(20)).code(),
            StatusCode::kDeadlineExceeded);
  herald.Release();
  EXPECT_TRUE(producer.WaitForRoom(Deadline()).ok());
  EXPECT_TRUE(producer.Send(std::move(command), told.Result()).ok());
  ASSERT_TRUE(producer.Flush(Deadline()).ok());
  EXPECT_EQ(told.seqs(), UpTo(4)) << "what was refused took no seq";
}

TEST(ProducerTest, TheBytesAreLimitedToo) {
  FakeHerald herald;
  herald.Hold();
  Producer::Options options = Quick();
  options.max_unanswered_bytes = 1000;
  options.max_command_bytes = 5000;
  Producer producer(herald.Channel(), options);
  EXPECT_EQ(producer.Send(Deliver(std::string(5000, 'x'))).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(producer.Send(Deliver(std::string(900, 'x'))).ok());
  EXPECT_TRUE(producer.Send(Deliver(std::string(900, 'x'))).ok()) << "over it by one command";
  EXPECT_EQ(producer.Send(Deliver()).code(), StatusCode::kResourceExhausted);
  herald.Release();
  EXPECT_TRUE(producer.WaitForRoom(Deadline()).ok());
}

TEST(ProducerTest, WhatWaitsForCompanySharesARequest) {
  FakeHerald herald;
  Producer::Options options = Quick();
  options.max_batch = 64;
  Told told;
  Producer producer(herald.Channel(), options);
  herald.WaitRequests(1);  // `open`
  for (int i = 0; i < 100; ++i)
    ASSERT_TRUE(producer.Send(Deliver(), told.Result(), nullptr, Producer::More::kYes).ok());
  herald.WaitRequests(2);
  producer.Kick();
  herald.WaitRequests(3);
  ASSERT_TRUE(producer.Flush(Deadline()).ok());
  const auto requests = herald.requests();
  ASSERT_THAT(requests, SizeIs(3));
  EXPECT_TRUE(requests[0].has_open());
  EXPECT_FALSE(requests[1].has_open());
  EXPECT_THAT(requests[1].commands(), SizeIs(64));
  EXPECT_THAT(requests[2].commands(), SizeIs(36));
}

TEST(ProducerTest, WhatQueuesWhileAWriteIsUnderWayGoesInOneRequest) {
  FakeHerald herald;
  herald.Hold();
  Told told;
  Producer producer(herald.Channel(), Quick());
  const std::string payload(1000, 'x');
  SendMany(producer, told, 1);
  for (int i = 0; i < 8000; ++i) ASSERT_TRUE(producer.Send(Deliver(payload), told.Result()).ok());
  herald.Release();  // the window of HTTP/2 is smaller than that, so much was queued
  ASSERT_TRUE(producer.Flush(Deadline()).ok());
  EXPECT_EQ(told.seqs(), UpTo(8001));
  int biggest = 0;
  for (const v1::PushRequest& request : herald.requests()) {
    biggest = std::max(biggest, request.commands_size());
    EXPECT_LE(request.ByteSizeLong(), std::size_t{530} << 10);
  }
  EXPECT_GT(biggest, 400);
}

}  // namespace
}  // namespace herald
