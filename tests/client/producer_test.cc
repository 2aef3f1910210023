#include "client/producer.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "tests/client/fake_herald.h"

namespace herald {
namespace {

using absl::StatusCode;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using Plan = FakeHerald::Plan;

absl::Time Deadline() { return absl::Now() + absl::Seconds(20); }

std::vector<std::uint64_t> UpTo(std::uint64_t last) {
  std::vector<std::uint64_t> seqs(last);
  std::iota(seqs.begin(), seqs.end(), 1);
  return seqs;
}

v1::Command Deliver(const std::string& payload = "x",
                    v1::ReportLevel report = v1::REPORT_LEVEL_UNSPECIFIED) {
  v1::Command command;
  command.mutable_deliver()->mutable_target()->set_all(true);
  command.mutable_deliver()->mutable_message()->set_payload(payload);
  command.mutable_deliver()->set_report(report);
  return command;
}

Producer::Options Quick() {
  Producer::Options options;
  options.initial_backoff = absl::Milliseconds(1);
  options.max_backoff = absl::Milliseconds(20);
  return options;
}

// A stream that lasts as long as the longest wait begins the backoff again; here none does.
Producer::Options WithoutReset() {
  Producer::Options options = Quick();
  options.max_backoff = absl::Minutes(1);
  return options;
}

// The first streams as planned, those after them whole.
FakeHerald::Planner First(std::vector<Plan> plans) {
  return [plans = std::move(plans)](std::size_t stream) {
    return stream < plans.size() ? plans[stream] : Plan{};
  };
}

Plan Refused(grpc::StatusCode code, const std::string& message = "no") {
  return {.refused = grpc::Status(code, message)};
}

// What callbacks were told, in order. Callbacks come one at a time; a test reads after they ended.
struct Told {
  std::vector<v1::CommandResult> results;
  std::vector<absl::Status> errors;  // of commands without a result
  std::vector<absl::StatusOr<v1::Receipt>> receipts;
  std::vector<std::string> order;  // "result 1", "receipt 1"

  Producer::OnResult Result(int number = 0) {
    return [this, number](absl::StatusOr<v1::CommandResult> result) {
      order.push_back("result " + std::to_string(number));
      if (result.ok()) {
        results.push_back(*std::move(result));
      } else {
        errors.push_back(result.status());
      }
    };
  }
  Producer::OnReceipt Receipt(int number = 0) {
    return [this, number](absl::StatusOr<v1::Receipt> receipt) {
      order.push_back("receipt " + std::to_string(number));
      receipts.push_back(std::move(receipt));
    };
  }
  std::vector<std::uint64_t> seqs() const {
    std::vector<std::uint64_t> seqs;
    for (const v1::CommandResult& result : results) seqs.push_back(result.seq());
    return seqs;
  }
};

void SendMany(Producer& producer, Told& told, int count) {
  for (int i = 0; i < count; ++i) {
    ASSERT_TRUE(producer.WaitForRoom(Deadline()).ok());
    ASSERT_TRUE(producer.Send(Deliver(), told.Result()).ok());
  }
}

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

// Where a stream is cut.

TEST(ProducerTest, ACommandReadAndNotCarriedOutIsSentAgain) {
  FakeHerald herald(First({{.cut_before = 3}}));
  Told told;
  Producer producer(herald.Channel(), Quick());
  SendMany(producer, told, 10);
  ASSERT_TRUE(producer.Flush(Deadline()).ok());
  EXPECT_EQ(herald.carried_out(), UpTo(10));
  EXPECT_EQ(told.seqs(), UpTo(10));
  EXPECT_EQ(herald.streams(), 2U);
}

TEST(ProducerTest, ACommandWhoseResultWasLostIsAnsweredAndNotDoneTwice) {
  FakeHerald herald(First({{.cut_after = 3}}));
  Told told;
  Producer producer(herald.Channel(), Quick());
  SendMany(producer, told, 10);
  ASSERT_TRUE(producer.Flush(Deadline()).ok());
  EXPECT_EQ(herald.carried_out(), UpTo(10));
  EXPECT_EQ(told.seqs(), UpTo(10));
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
    if (command.seq() == 2) result.set_code(14);
    if (command.seq() == 3) result.set_code(8);
    return result;
  });
  Told told;
  Producer producer(herald.Channel(), Quick());
  SendMany(producer, told, 4);
  ASSERT_TRUE(producer.Close(Deadline()).ok());
  EXPECT_EQ(told.seqs(), UpTo(4));
  EXPECT_EQ(told.results[1].code(), 14);
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

// Receipts.

TEST(ProducerTest, AReceiptFollowsItsResult) {
  for (const bool before : {false, true}) {
    FakeHerald herald;
    herald.set_receipts(before);
    Told told;
    Producer producer(herald.Channel(), Quick());
    ASSERT_TRUE(
        producer.Send(Deliver("x", v1::REPORT_LEVEL_WRITTEN), told.Result(1), told.Receipt(1))
            .ok());
    ASSERT_TRUE(producer.Close(Deadline()).ok());
    EXPECT_THAT(told.order, ElementsAre("result 1", "receipt 1"));
    ASSERT_TRUE(told.receipts.at(0).ok());
    EXPECT_EQ(told.receipts[0]->written(), 7U);
  }
}

TEST(ProducerTest, ADuplicateHasNoReceipt) {
  FakeHerald herald(First({{.cut_after = 1}}));
  Told told;
  Producer producer(herald.Channel(), Quick());
  ASSERT_TRUE(
      producer.Send(Deliver("x", v1::REPORT_LEVEL_WRITTEN), told.Result(1), told.Receipt(1)).ok());
  ASSERT_TRUE(producer.Close(Deadline()).ok());
  EXPECT_TRUE(told.results.at(0).duplicate());
  EXPECT_EQ(told.receipts.at(0).status().code(), StatusCode::kUnknown);
  EXPECT_THAT(std::string(told.receipts[0].status().message()), HasSubstr("taken before"));
}

TEST(ProducerTest, ARefusedCommandsReceiptIsItsRefusal) {
  FakeHerald herald;
  herald.set_action([](const v1::Command&) {
    v1::CommandResult result;
    result.set_code(5);
    result.set_detail("nobody");
    return result;
  });
  Told told;
  Producer producer(herald.Channel(), Quick());
  ASSERT_TRUE(
      producer.Send(Deliver("x", v1::REPORT_LEVEL_WRITTEN), told.Result(), told.Receipt()).ok());
  ASSERT_TRUE(producer.Close(Deadline()).ok());
  EXPECT_EQ(told.receipts.at(0).status(), absl::NotFoundError("nobody"));
}

TEST(ProducerTest, ReceiptsOfABrokenStreamAreToldToBeLost) {
  // The first two are answered, and their receipts are owed when the third meets the cut.
  FakeHerald herald(First({{.cut_before = 2}}));
  Told told;
  Producer::Options options = Quick();
  options.max_batch = 1;
  Producer producer(herald.Channel(), options);
  for (int i = 1; i <= 2; ++i) {
    absl::Notification answered;
    ASSERT_TRUE(producer
                    .Send(
                        Deliver("x", v1::REPORT_LEVEL_WRITTEN),
                        [&](absl::StatusOr<v1::CommandResult> result) {
                          told.Result(i)(std::move(result));
                          answered.Notify();
                        },
                        told.Receipt(i))
                    .ok());
    answered.WaitForNotification();
  }
  EXPECT_THAT(told.order, ElementsAre("result 1", "result 2"));
  ASSERT_TRUE(producer.SendFuture(Deliver()).get().ok());
  EXPECT_THAT(told.order, ElementsAre("result 1", "result 2", "receipt 1", "receipt 2"));
  for (const auto& receipt : told.receipts) {
    EXPECT_EQ(receipt.status().code(), StatusCode::kUnknown);
    EXPECT_THAT(std::string(receipt.status().message()), HasSubstr("broke"));
  }
}

TEST(ProducerTest, OnReceiptNeedsAReportToBeAskedFor) {
  FakeHerald herald;
  Told told;
  Producer producer(herald.Channel(), Quick());
  EXPECT_EQ(producer.Send(Deliver(), told.Result(), told.Receipt()).code(),
            StatusCode::kInvalidArgument);
  EXPECT_THAT(told.order, IsEmpty());
}

// The end.

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
