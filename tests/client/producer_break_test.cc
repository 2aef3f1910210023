#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
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
using testing::HasSubstr;
using testing::SizeIs;
using Plan = FakeHerald::Plan;

// Where a stream is cut.

Told TenArriveOnce(FakeHerald& herald) {
  Told told;
  Producer producer(herald.Channel(), Quick());
  SendMany(producer, told, 10);
  EXPECT_TRUE(producer.Flush(Deadline()).ok());
  EXPECT_EQ(herald.carried_out(), UpTo(10));
  EXPECT_EQ(told.seqs(), UpTo(10));
  return told;
}

TEST(ProducerTest, ACommandReadAndNotCarriedOutIsSentAgain) {
  FakeHerald herald(First({{.cut_before = 3}}));
  const Told told = TenArriveOnce(herald);
  EXPECT_EQ(herald.streams(), 2U);
}

TEST(ProducerTest, ACommandWhoseResultWasLostIsAnsweredAndNotDoneTwice) {
  FakeHerald herald(First({{.cut_after = 3}}));
  const Told told = TenArriveOnce(herald);
  EXPECT_TRUE(told.results[2].duplicate());
  EXPECT_FALSE(told.results[9].duplicate());
}

TEST(ProducerTest, WhatIsSentDuringTheOutageFollows) {
  FakeHerald herald(First({{.cut_after = 1}, Refused(grpc::StatusCode::UNAVAILABLE)}));
  Told told;
  absl::Notification broken;
  Producer::Options options = Quick();
  options.on_broken = [&](const Producer::Outage&) {
    if (!broken.HasBeenNotified()) broken.Notify();
    return true;
  };
  Producer producer(herald.Channel(), options);
  SendMany(producer, told, 5);
  ASSERT_TRUE(broken.WaitForNotificationWithTimeout(absl::Seconds(20)));
  SendMany(producer, told, 5);
  ASSERT_TRUE(producer.Flush(Deadline()).ok());
  EXPECT_EQ(herald.carried_out(), UpTo(10));
  EXPECT_EQ(told.seqs(), UpTo(10));
}

TEST(ProducerTest, ManyCutsLoseDoubleAndReorderNothing) {
  constexpr std::uint64_t kCommands = 5000;
  constexpr std::size_t kCuts = 60;
  std::mt19937 random(7);  // used under the fake's lock
  FakeHerald herald([&](std::size_t stream) {
    Plan plan;
    if (stream >= kCuts) return plan;
    const std::size_t at = 1 + random() % 100;
    (random() % 2 ? plan.cut_after : plan.cut_before) = at;
    plan.status = grpc::Status(
        random() % 2 ? grpc::StatusCode::UNAVAILABLE : grpc::StatusCode::INTERNAL, "cut");
    return plan;
  });
  Told told;
  Producer::Options options = Quick();
  options.max_batch = 16;
  options.max_unanswered = 100;
  Producer producer(herald.Channel(), options);
  SendMany(producer, told, kCommands);
  ASSERT_TRUE(producer.Close(Deadline()).ok());
  EXPECT_EQ(herald.carried_out(), UpTo(kCommands));
  EXPECT_EQ(told.seqs(), UpTo(kCommands));
  EXPECT_GE(herald.streams(), kCuts);
}

TEST(ProducerTest, SendersOfManyThreadsKeepTheirOrderOverCuts) {
  constexpr int kThreads = 4, kEach = 500;
  FakeHerald herald(
      [](std::size_t stream) { return stream < 20 ? Plan{.cut_after = 40 + stream} : Plan{}; });
  std::vector<std::string> payloads;
  herald.set_action([&](const v1::Command& command) {  // under the fake's lock
    payloads.push_back(command.deliver().message().payload());
    return v1::CommandResult();
  });
  Told told;
  Producer producer(herald.Channel(), Quick());
  std::vector<std::thread> threads;
  for (char name = 'a'; name < 'a' + kThreads; ++name) {
    threads.emplace_back([&producer, &told, name] {
      for (int i = 0; i < kEach; ++i)
        EXPECT_TRUE(producer.Send(Deliver(name + std::to_string(i)), told.Result()).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(producer.Close(Deadline()).ok());
  EXPECT_THAT(told.results, SizeIs(kThreads * kEach));
  std::map<char, int> next;
  for (const std::string& payload : payloads)
    EXPECT_EQ(payload, payload[0] + std::to_string(next[payload[0]]++));
  EXPECT_THAT(payloads, SizeIs(kThreads * kEach));
}

TEST(ProducerTest, AServerThatEndsTheStreamWithoutAnErrorIsCalledAgain) {
  FakeHerald herald(First({{.cut_before = 1, .status = grpc::Status::OK}}));
  Producer producer(herald.Channel(), Quick());
  EXPECT_TRUE(producer.SendFuture(Deliver()).get().ok());
  EXPECT_TRUE(producer.SendFuture(Deliver()).get().ok());
  EXPECT_EQ(herald.streams(), 2U);
}

// Errors of the stream.

class TransientErrorTest : public testing::TestWithParam<grpc::StatusCode> {};

TEST_P(TransientErrorTest, IsTriedAgain) {
  FakeHerald herald(First({Refused(GetParam()), Refused(GetParam())}));
  std::vector<Producer::Outage> outages;
  Producer::Options options = WithoutReset();
  options.on_broken = [&](const Producer::Outage& outage) {
    outages.push_back(outage);
    return true;
  };
  Producer producer(herald.Channel(), options);
  EXPECT_TRUE(producer.SendFuture(Deliver()).get().ok());
  EXPECT_EQ(herald.streams(), 3U);
  ASSERT_THAT(outages, SizeIs(2));
  EXPECT_EQ(outages[1].attempt, 2);
  EXPECT_FALSE(outages[1].connected_before);
  EXPECT_EQ(static_cast<int>(outages[1].status.code()), GetParam());
}

INSTANTIATE_TEST_SUITE_P(Codes, TransientErrorTest,
                         testing::Values(grpc::StatusCode::UNAVAILABLE,
                                         grpc::StatusCode::RESOURCE_EXHAUSTED,
                                         grpc::StatusCode::INTERNAL, grpc::StatusCode::ABORTED));

class PermanentErrorTest : public testing::TestWithParam<grpc::StatusCode> {};

TEST_P(PermanentErrorTest, EndsItAndFailsWhatHasNoResult) {
  FakeHerald herald(
      First({{.cut_after = 2, .status = grpc::Status(GetParam(), "never")}, Refused(GetParam())}));
  Told told;
  absl::Status end;
  Producer::Options options = Quick();
  options.on_end = [&](const absl::Status& status) {
    EXPECT_THAT(told.errors, SizeIs(4)) << "on_end comes last";
    end = status;
  };
  options.max_batch = 1;
  Producer producer(herald.Channel(), options);
  herald.Hold();
  SendMany(producer, told, 5);
  herald.Release();
  const absl::Status status = producer.Flush(Deadline());
  const auto code = static_cast<StatusCode>(GetParam());
  EXPECT_EQ(status.code(), code);
  EXPECT_EQ(end.message(), "never");
  EXPECT_EQ(told.seqs(), UpTo(1));
  ASSERT_THAT(told.errors, SizeIs(4));
  for (const absl::Status& error : told.errors) EXPECT_EQ(error, end);
  EXPECT_EQ(producer.Send(Deliver()), end);
  EXPECT_EQ(producer.WaitForRoom(Deadline()), end);
  EXPECT_EQ(producer.Close(Deadline()), end);
  EXPECT_EQ(herald.streams(), 1U);
}

INSTANTIATE_TEST_SUITE_P(Codes, PermanentErrorTest,
                         testing::Values(grpc::StatusCode::UNAUTHENTICATED,
                                         grpc::StatusCode::PERMISSION_DENIED,
                                         grpc::StatusCode::INVALID_ARGUMENT,
                                         grpc::StatusCode::UNIMPLEMENTED));

TEST(ProducerTest, ARequestThatTheServerNeverTakesIsNotSentForEver) {
  FakeHerald herald;  // with gRPC's limit of 4 MiB
  Producer::Options options = Quick();
  options.max_command_bytes = 8 << 20;
  Producer producer(herald.Channel(), options);
  const auto result = producer.SendFuture(Deliver(std::string(5 << 20, 'x'))).get();
  EXPECT_EQ(result.status().code(), StatusCode::kResourceExhausted) << result.status();
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("larger than max"));
  EXPECT_EQ(herald.streams(), 1U);
}

TEST(ProducerTest, ARefusedCommandIsTheCallersToSendAgain) {
  FakeHerald herald;
  herald.set_action([](const v1::Command& command) {
    v1::CommandResult result;
    if (command.seq() == 2) result.set_code(5);
    if (command.seq() == 3) result.set_code(8);
    return result;
  });
  Told told;
  Producer producer(herald.Channel(), Quick());
  SendMany(producer, told, 4);
  ASSERT_TRUE(producer.Close(Deadline()).ok());
  EXPECT_EQ(told.seqs(), UpTo(4));
  EXPECT_EQ(told.results[1].code(), 5);
  EXPECT_EQ(told.results[2].code(), 8);
  EXPECT_EQ(herald.carried_out(), UpTo(4)) << "none was tried twice";
}

TEST(ProducerTest, NobodyThereIsTriedUntilTheCallerHasEnough) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  Producer::Options options = WithoutReset();
  int attempts = 0;
  options.on_broken = [&](const Producer::Outage& outage) {
    EXPECT_FALSE(outage.connected_before);
    attempts = outage.attempt;
    return attempts < 4;
  };
  Producer producer(MakeProducerChannel("unix:/nonexistent/herald.sock",
                                        grpc::InsecureChannelCredentials(), arguments),
                    options);
  const auto result = producer.SendFuture(Deliver()).get();
  EXPECT_EQ(result.status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(attempts, 4);
}

TEST(ProducerTest, ProgressBeginsTheBackoffAgain) {
  FakeHerald herald([](std::size_t stream) {
    if (stream < 3) return Refused(grpc::StatusCode::UNAVAILABLE);
    if (stream == 3) return Plan{.cut_before = 1};  // after a result
    return Plan{};
  });
  std::vector<int> attempts;
  Producer::Options options = WithoutReset();
  options.max_batch = 1;
  options.on_broken = [&](const Producer::Outage& outage) {
    attempts.push_back(outage.attempt);
    return true;
  };
  Producer producer(herald.Channel(), options);
  EXPECT_TRUE(producer.SendFuture(Deliver()).get().ok());
  EXPECT_TRUE(producer.SendFuture(Deliver()).get().ok());
  EXPECT_THAT(attempts, ElementsAre(1, 2, 3, 1));
}

TEST(ProducerTest, WhatTheServerMayHaveForgottenIsNotSentAgain) {
  FakeHerald herald(First({{.cut_after = 2}}));
  Told told;
  Producer::Options options = Quick();
  options.resend_within = absl::ZeroDuration();
  options.max_batch = 2;
  Producer producer(herald.Channel(), options);
  herald.Hold();
  SendMany(producer, told, 1);
  herald.WaitRequests(1);  // the first request, `open`, is held
  herald.Release();
  SendMany(producer, told, 3);
  ASSERT_TRUE(producer.Flush(Deadline()).ok());
  EXPECT_FALSE(told.errors.empty());
  EXPECT_THAT(told.results, SizeIs(4 - told.errors.size()));
  for (const absl::Status& error : told.errors) EXPECT_EQ(error.code(), StatusCode::kUnknown);
  const auto carried_out = herald.carried_out();
  EXPECT_EQ(std::set(carried_out.begin(), carried_out.end()).size(), carried_out.size());
  for (const v1::CommandResult& result : told.results) EXPECT_FALSE(result.duplicate());
}

TEST(ProducerTest, WithoutAnIdTheFirstBreakIsTheEnd) {
  FakeHerald herald(First({{.cut_after = 2}}));
  Told told;
  Producer::Options options = Quick();
  options.producer_id.clear();
  options.max_batch = 1;
  Producer producer(herald.Channel(), options);
  herald.Hold();
  SendMany(producer, told, 5);
  herald.Release();
  EXPECT_EQ(producer.Flush(Deadline()).code(), StatusCode::kUnavailable);
  EXPECT_EQ(told.seqs(), UpTo(1));
  EXPECT_THAT(told.errors, SizeIs(4));
  EXPECT_EQ(herald.streams(), 1U);
  EXPECT_THAT(herald.carried_out(), SizeIs(2));
  for (const v1::PushRequest& request : herald.requests()) EXPECT_FALSE(request.has_open());
}

}  // namespace
}  // namespace herald
