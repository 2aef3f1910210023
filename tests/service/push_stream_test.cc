#include "service/push_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fmt/format.h"
#include "tests/session/node.h"

namespace herald {
namespace {

using ::testing::HasSubstr;

// Stands in for the reactor: takes what is ready, and counts.
class PushStreamTest : public ::testing::Test {
 protected:
  static constexpr std::size_t kMaxInFlight = 100;

  std::shared_ptr<PushStream> Open() {
    return std::make_shared<PushStream>(IdempotentRunner(runner_, memory_, ""), node_.shards(),
                                        executor_, kMaxInFlight, calls_, "");
  }

  static v1::Command ToTopic(std::uint64_t seq, const std::string& topic) {
    v1::Command command;
    command.set_seq(seq);
    command.mutable_deliver()->mutable_target()->set_topic(topic);
    command.mutable_deliver()->mutable_message()->set_payload(std::to_string(seq));
    return command;
  }
  static v1::Command JoinAll(std::uint64_t seq, const std::string& topic) {
    v1::Command command;
    command.set_seq(seq);
    command.mutable_join()->mutable_target()->set_all(true);
    command.mutable_join()->add_topics(topic);
    return command;
  }

  static absl::Status Give(PushStream& stream, const v1::PushRequest& request) {
    return stream.OnRequest(request.SerializeAsString());
  }

  // Results until there are `count`; written as the reactor does.
  std::vector<v1::CommandResult> Results(PushStream& stream, std::size_t count) {
    std::vector<v1::CommandResult> results;
    EXPECT_TRUE(Eventually([&] {
      v1::PushResponse response;
      if (stream.TakeResponse(&response)) {
        results.insert(results.end(), response.results().begin(), response.results().end());
        stream.OnWritten();
      }
      return results.size() >= count;
    }));
    return results;
  }

  CallMemory calls_{1u << 20};
  Idempotency memory_{absl::Minutes(2), 100'000};
  Node node_{2};
  ReceiptClock clock_;
  CommandRunner runner_{node_.broker(), node_.table(), clock_, "node-1", 1024, 128};
  Executor executor_;
};

TEST_F(PushStreamTest, EachCommandHasAResultAndABadOneDisturbsNothing) {
  auto stream = Open();
  v1::PushRequest request;
  for (std::uint64_t seq = 1; seq <= 50; ++seq)
    *request.add_commands() = ToTopic(seq, seq == 25 ? "" : "kept/a");
  ASSERT_TRUE(Give(*stream, request).ok());
  const auto results = Results(*stream, 50);
  ASSERT_EQ(results.size(), 50u);
  for (const v1::CommandResult& result : results)
    EXPECT_EQ(result.code(), result.seq() == 25 ? 3 : 0);
  EXPECT_TRUE(stream->Idle());
  EXPECT_EQ(node_.Read({"kept/a", {}, 100, false}).messages.size(), 49u);
}

TEST_F(PushStreamTest, DeliveriesBehindAJoinReachTheJoined) {
  std::vector<RecordingSessionPtr> sessions;
  for (int i = 0; i < 10; ++i) sessions.push_back(node_.Add({}, i % 2));
  auto stream = Open();
  for (int round = 0; round < 50; ++round) {
    const std::string topic = fmt::format("round/{}", round);
    v1::PushRequest request;
    *request.add_commands() = JoinAll(1, topic);
    *request.add_commands() = ToTopic(2, topic);
    ASSERT_TRUE(Give(*stream, request).ok());
    for (const v1::CommandResult& result : Results(*stream, 2)) {
      EXPECT_EQ(result.matched(), 10u) << "round " << round << ", seq " << result.seq();
    }
  }
}

TEST_F(PushStreamTest, AsksForNoRequestWhileTooManyResultsAreUnwritten) {
  auto stream = Open();
  EXPECT_TRUE(stream->WantsRequest());
  v1::PushRequest request;
  for (std::uint64_t seq = 1; seq <= kMaxInFlight; ++seq)
    *request.add_commands() = ToTopic(seq, "a");
  ASSERT_TRUE(Give(*stream, request).ok());
  EXPECT_FALSE(stream->WantsRequest());
  v1::PushResponse response;
  ASSERT_TRUE(stream->TakeResponse(&response));
  EXPECT_FALSE(stream->WantsRequest()) << "taken is not written";
  stream->OnWritten();
  EXPECT_TRUE(stream->WantsRequest());
}

TEST_F(PushStreamTest, WaitsForAMailboxAboveItsWatermarkAndIsWoken) {
  ShardOptions options;
  options.mailbox.high_messages = 4;
  Node node(1, options);
  ReceiptClock clock;
  CommandRunner runner(node.broker(), node.table(), clock, "node-1", 1024, 128);
  auto stream = std::make_shared<PushStream>(IdempotentRunner(runner, memory_, ""), node.shards(),
                                             executor_, kMaxInFlight, calls_, "");
  std::atomic<int> wakes{0};
  stream->set_wake([&] { ++wakes; });
  std::promise<void> go_on;
  node.shard().Post([&] { go_on.get_future().wait(); });
  for (int i = 0; i < 10; ++i) node.shard().Post([] {});
  EXPECT_FALSE(stream->WantsRequest());
  EXPECT_EQ(wakes, 0);
  go_on.set_value();
  EXPECT_TRUE(Eventually([&] { return wakes > 0; }));
  EXPECT_TRUE(stream->WantsRequest());
  std::promise<void> detached;
  executor_.Post([&] {
    stream->Detach();
    detached.set_value();
  });
  detached.get_future().wait();
}

TEST_F(PushStreamTest, G6ALargeRequestIsRunInTurns) {
  auto stream = Open();
  v1::PushRequest request;
  constexpr int kCommands = PushRequestReader::kMaxCommands;
  constexpr int kTurn = static_cast<int>(PushStream::kCostATurn);
  for (int seq = 1; seq <= kCommands; ++seq) *request.add_commands() = ToTopic(seq, "t");
  std::promise<void> go_on;
  executor_.Post([&] { go_on.get_future().wait(); });
  ASSERT_TRUE(Give(*stream, request).ok());
  // The thread of the call has done one turn; the rest waits for the executor.
  v1::PushResponse response;
  ASSERT_TRUE(stream->TakeResponse(&response));
  EXPECT_EQ(response.results_size(), kTurn);
  stream->OnWritten();
  EXPECT_FALSE(stream->WantsRequest());
  EXPECT_FALSE(stream->Idle());
  go_on.set_value();
  const auto results = Results(*stream, kCommands - kTurn);
  ASSERT_EQ(results.size(), static_cast<std::size_t>(kCommands - kTurn));
  for (std::size_t i = 0; i < results.size(); ++i)
    ASSERT_EQ(results[i].seq(), i + 1 + kTurn) << "in order";
  EXPECT_TRUE(stream->WantsRequest());
}

TEST_F(PushStreamTest, G19AListTakesTheTurnsOfItsPublications) {
  auto stream = Open();
  v1::PushRequest request;
  for (int seq = 1; seq <= 20; ++seq) {
    v1::Command& command = *request.add_commands();
    command.set_seq(seq);
    v1::Deliver& deliver = *command.mutable_deliver();
    deliver.mutable_message()->set_payload("x");
    for (int i = 0; i < 100; ++i)
      deliver.mutable_target()->mutable_users()->add_user_ids(fmt::format("u{}", i));
  }
  std::promise<void> go_on;
  executor_.Post([&] { go_on.get_future().wait(); });
  ASSERT_TRUE(Give(*stream, request).ok());
  v1::PushResponse response;
  ASSERT_TRUE(stream->TakeResponse(&response));
  EXPECT_EQ(response.results_size(), 3) << "of a hundred each";
  stream->OnWritten();
  go_on.set_value();
  EXPECT_EQ(Results(*stream, 17).size(), 17u);
}

TEST_F(PushStreamTest, G6AProducerAboveItsRateIsNotReadFurther) {
  ProducerEntry entry;
  entry.rights.name = "slow";
  entry.rights.may.set();
  entry.rights.reach.topics = PatternSet::Everything();
  entry.rights.limits.commands_per_second = 20;
  entry.token_hashes = {HashToken("token-of-a-producer")};
  const ProducerAuth auth(std::make_shared<const ProducerTable>(std::vector{entry}));
  ProducerCredential credential{"Bearer token-of-a-producer", {}};
  Producer producer = *auth.Check(credential);
  auto stream = std::make_shared<PushStream>(
      IdempotentRunner(runner_, memory_, ProducerGate(auth, credential, producer)), node_.shards(),
      executor_, kMaxInFlight, calls_, "");
  std::atomic<int> wakes{0};
  stream->set_wake([&] { ++wakes; });
  v1::PushRequest request;
  for (int seq = 1; seq <= 60; ++seq) *request.add_commands() = ToTopic(seq, "t");
  ASSERT_TRUE(Give(*stream, request).ok());
  int done = 0, refused = 0;
  for (const v1::CommandResult& result : Results(*stream, 60))
    ++(result.code() == 0 ? done : refused);
  EXPECT_GE(done, 20);
  EXPECT_GE(refused, 20);
  EXPECT_FALSE(stream->WantsRequest()) << "60 commands are read, of 20 a second";
  EXPECT_TRUE(Eventually([&] { return wakes > 0 && stream->WantsRequest(); })) << "goes on";
  std::promise<void> detached;
  executor_.Post([&] {
    stream->Detach();
    detached.set_value();
  });
  detached.get_future().wait();
}

TEST_F(PushStreamTest, OpenIsForTheFirstRequestOnly) {
  auto stream = Open();
  v1::PushRequest open;
  open.mutable_open();
  ASSERT_TRUE(Give(*stream, open).ok());
  v1::PushResponse response;
  ASSERT_TRUE(stream->TakeResponse(&response));
  EXPECT_EQ(response.opened().node(), "node-1");
  stream->OnWritten();
  EXPECT_THAT(std::string(Give(*stream, open).message()), HasSubstr("open"));
}

TEST_F(PushStreamTest, OpenTellsASuccessorTheLastSeq) {
  auto stream = Open();
  v1::PushRequest request;
  request.mutable_open()->set_producer_id("p");
  for (std::uint64_t seq = 1; seq <= 3; ++seq) *request.add_commands() = ToTopic(seq, "kept/a");
  ASSERT_TRUE(Give(*stream, request).ok());
  v1::PushResponse response;
  ASSERT_TRUE(stream->TakeResponse(&response));
  EXPECT_EQ(response.opened().last_seq(), 0u);
  auto successor = Open();
  ASSERT_TRUE(Give(*successor, request).ok());
  ASSERT_TRUE(successor->TakeResponse(&response));
  EXPECT_EQ(response.opened().last_seq(), 3u);
  ASSERT_EQ(response.results_size(), 3);
  for (const v1::CommandResult& result : response.results()) EXPECT_TRUE(result.duplicate());
  request.mutable_open()->set_producer_id(std::string(129, 'p'));
  EXPECT_EQ(Give(*Open(), request).code(), absl::StatusCode::kInvalidArgument);
}

// The old stream has the first command in flight; what follows it on the new one must not overtake.
TEST_F(PushStreamTest, NothingOvertakesARepeatThatWaitsForTheOldStream) {
  auto session = node_.Add();
  const std::string id = session->id().ToString("node-1");
  v1::PushRequest first, all;
  first.mutable_open()->set_producer_id("p");
  v1::Command& command = *first.add_commands();
  command.set_seq(1);
  command.mutable_deliver()->mutable_target()->set_session_id(id);
  all = first;
  *all.add_commands() = ToTopic(2, "kept/a");
  auto old = Open(), successor = Open();
  {
    Busy busy(node_.shard());
    ASSERT_TRUE(Give(*old, first).ok());
    ASSERT_TRUE(Give(*successor, all).ok());
    EXPECT_EQ(node_.Read({"kept/a", {}, 100, false}).messages.size(), 0u);
    EXPECT_FALSE(successor->WantsRequest());
  }
  const auto results = Results(*successor, 2);
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[0].seq(), 1u);
  EXPECT_TRUE(results[0].duplicate());
  EXPECT_FALSE(results[1].duplicate());
  EXPECT_EQ(node_.Read({"kept/a", {}, 100, false}).messages.size(), 1u);
}

// A half-dead stream and its successor send the same at the same time.
TEST_F(PushStreamTest, TwoStreamsOfOneProducerDeliverOnceAndInOrder) {
  constexpr std::uint64_t kCommands = 5000, kBatch = 50;
  auto session = node_.Add();
  ASSERT_TRUE(node_.Subscribe(*session, "a").ok());
  std::vector<std::shared_ptr<PushStream>> streams = {Open(), Open(), Open()};
  std::vector<std::thread> threads;
  std::atomic<std::uint64_t> carried_out{0}, repeated{0};
  for (const auto& stream : streams) {
    threads.emplace_back([&, stream] {
      for (std::uint64_t seq = 1; seq <= kCommands; seq += kBatch) {
        v1::PushRequest request;
        if (seq == 1) request.mutable_open()->set_producer_id("p");
        for (std::uint64_t i = 0; i < kBatch; ++i) *request.add_commands() = ToTopic(seq + i, "a");
        ASSERT_TRUE(Give(*stream, request).ok());
        for (const v1::CommandResult& result : Results(*stream, kBatch)) {
          EXPECT_EQ(result.code(), 0) << result.detail();
          ++(result.duplicate() ? repeated : carried_out);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(carried_out, kCommands);
  EXPECT_EQ(repeated, 2 * kCommands);
  ASSERT_TRUE(node_.WaitReceived(*session, kCommands));
  std::uint64_t next = 0;
  for (const Received& received : node_.ReceivedBy(*session))
    EXPECT_EQ(received.payload, std::to_string(++next));
  EXPECT_EQ(next, kCommands);
}

TEST_F(PushStreamTest, RefusesAnOverlongRequest) {
  v1::PushRequest request;
  for (int i = 0; i <= PushRequestReader::kMaxCommands; ++i) request.add_commands();
  EXPECT_EQ(Give(*Open(), request).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(PushStreamTest, StopsAtTheFirstUnavailableWhereItIsAskedTo) {
  for (const bool asked : {true, false}) {
    auto stream = Open();
    v1::PushRequest request;
    request.mutable_open()->set_end_at_unavailable(asked);
    for (std::uint64_t seq = 1; seq <= 10; ++seq) *request.add_commands() = ToTopic(seq, "kept/a");
    ASSERT_TRUE(Give(*stream, request).ok());
    Results(*stream, 10);
    EXPECT_FALSE(stream->Stopped().has_value());
    runner_.draining = true;
    request.clear_open();
    ASSERT_TRUE(Give(*stream, request).ok());
    runner_.draining = false;
    const std::size_t answered = asked ? 1 : 10;
    EXPECT_EQ(Results(*stream, answered).size(), answered);
    EXPECT_EQ(stream->Stopped().has_value(), asked);
    EXPECT_EQ(stream->WantsRequest(), !asked);
    EXPECT_TRUE(stream->Idle()) << "those that are not run have no result";
  }
}

TEST_F(PushStreamTest, AnnouncesTheMoveInTheNextResponse) {
  auto stream = Open();
  stream->Announce(absl::Milliseconds(1500), "why");
  EXPECT_FALSE(stream->Idle());
  v1::PushResponse response;
  ASSERT_TRUE(stream->TakeResponse(&response));
  EXPECT_EQ(response.moving().within().seconds(), 1);
  EXPECT_EQ(response.moving().within().nanos(), 500'000'000);
  EXPECT_EQ(response.moving().reason(), "why");
  EXPECT_FALSE(stream->TakeResponse(&response)) << "once";
  EXPECT_TRUE(stream->Idle());
}

// G18: what a producer does not read stays within its memory, and goes on when it is read.
TEST_F(PushStreamTest, G18ResultsThatNobodyReadStopTheCommandsBehindThem) {
  auto stream = Open();
  const std::uint64_t max = 1u << 20;
  v1::PushRequest request;
  for (std::uint64_t seq = 1; seq <= 40; ++seq) {
    v1::Command command;
    command.set_seq(seq);
    v1::Deliver& deliver = *command.mutable_deliver();
    for (int topic = 0; topic < 1000; ++topic)
      deliver.mutable_target()->mutable_topics()->add_topics(fmt::format("kept/{}", topic));
    deliver.mutable_message()->set_payload("x");
    *request.add_commands() = command;
  }
  ASSERT_TRUE(Give(*stream, request).ok());
  absl::SleepFor(absl::Milliseconds(100));
  EXPECT_FALSE(stream->WantsRequest());
  EXPECT_LT(calls_.bytes(), max * 2) << "40 results of 240 KB each";
  EXPECT_GT(calls_.limited(), 0u);
  EXPECT_EQ(Results(*stream, 40).size(), 40u);
  EXPECT_TRUE(Eventually([&] { return stream->Idle() && calls_.bytes() == 0; })) << calls_.bytes();
  EXPECT_TRUE(stream->WantsRequest());
}

TEST_F(PushStreamTest, G18ARequestLargerThanAllTheMemoryOfCallsIsCarriedOut) {
  calls_.SetMax(1'000);
  auto stream = Open();
  v1::PushRequest request;
  for (std::uint64_t seq = 1; seq <= 99; ++seq) *request.add_commands() = ToTopic(seq, "kept/a");
  ASSERT_GT(request.ByteSizeLong(), 1'000u);
  ASSERT_TRUE(Give(*stream, request).ok());
  EXPECT_EQ(Results(*stream, 99).size(), 99u);
}

TEST_F(PushStreamTest, G18ReceiptsThatAreAwaitedCount) {
  auto stream = Open();
  auto session = node_.Add();
  v1::PushRequest request;
  for (std::uint64_t seq = 1; seq <= 50; ++seq) {
    v1::Command command = ToTopic(seq, "kept/a");
    command.mutable_deliver()->set_report(v1::REPORT_LEVEL_ACKED);
    command.mutable_deliver()->mutable_report_timeout()->set_seconds(1);
    *request.add_commands() = command;
  }
  ASSERT_TRUE(node_.Subscribe(*session, "kept/a").ok());
  ASSERT_TRUE(Give(*stream, request).ok());
  Results(*stream, 50);
  EXPECT_GE(calls_.bytes(), 50u * 1'000);
  EXPECT_TRUE(Eventually([&] {
    clock_.Advance(absl::Now());
    v1::PushResponse response;
    if (stream->TakeResponse(&response)) stream->OnWritten();
    return calls_.bytes() == 0;
  })) << "given back once they are there";
}

TEST_F(PushStreamTest, G18ARequestBeyondTheMemoryOfCallsEndsTheStream) {
  auto stream = Open(), another = Open();
  CallMemory::Hold others(calls_, nullptr);
  others.Set((1u << 20) - 100);
  EXPECT_FALSE(stream->WantsRequest()) << "nothing new while there is no room";
  v1::PushRequest request;
  for (std::uint64_t seq = 1; seq <= 20; ++seq) *request.add_commands() = ToTopic(seq, "t");
  const absl::Status refused = Give(*stream, request);  // it was on its way
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted) << refused;
  stream.reset();
  others.Set(0);
  EXPECT_TRUE(another->WantsRequest());
  EXPECT_TRUE(Give(*another, request).ok());
}

TEST_F(PushStreamTest, G18ARequestIsLetGoOfOnceItsCommandsHaveRun) {
  auto stream = Open();
  v1::PushRequest request;
  for (std::uint64_t seq = 1; seq <= 99; ++seq) *request.add_commands() = ToTopic(seq, "t");
  ASSERT_TRUE(Give(*stream, request).ok());
  v1::PushResponse response;
  ASSERT_TRUE(stream->TakeResponse(&response));
  EXPECT_LT(calls_.bytes(), 99u * 200) << "results alone";
  stream->OnWritten();
  EXPECT_EQ(calls_.bytes(), 0u);
}

// Receipts wake the stream on the executor while the reactor gives it the next request.
TEST_F(PushStreamTest, WakesMayComeWhileARequestIsTaken) {
  auto session = node_.Add();
  ASSERT_TRUE(node_.Subscribe(*session, "t").ok());
  auto stream = Open();
  std::size_t results = 0, receipts = 0;
  const auto take = [&] {
    v1::PushResponse response;
    if (!stream->TakeResponse(&response)) return;
    results += static_cast<std::size_t>(response.results_size());
    receipts += static_cast<std::size_t>(response.receipts_size());
    stream->OnWritten();
  };
  constexpr std::size_t kRequests = 3'000;
  for (std::size_t i = 1; i <= kRequests; ++i) {
    v1::PushRequest request;
    *request.add_commands() = ToTopic(i, "t");
    request.mutable_commands(0)->mutable_deliver()->set_report(v1::REPORT_LEVEL_WRITTEN);
    ASSERT_TRUE(Eventually([&] {
      take();
      return stream->WantsRequest();
    }));
    ASSERT_TRUE(Give(*stream, request).ok());
  }
  EXPECT_TRUE(Eventually([&] {
    take();
    return results == kRequests && receipts == kRequests;
  })) << results
      << " results, " << receipts << " receipts";
}

TEST_F(PushStreamTest, ACommandThatCannotBeReadEndsTheStreamBehindThoseBeforeIt) {
  auto stream = Open();
  v1::PushRequest request;
  for (std::uint64_t seq = 1; seq <= 50; ++seq) *request.add_commands() = ToTopic(seq, "t");
  // Behind another field, so that it is a part of its own: a command whose deliver ends too early.
  const std::string wire = request.SerializeAsString() + std::string("\x78\x01\x12\x02\x12\x7f", 6);
  EXPECT_TRUE(stream->OnRequest(wire).ok());
  EXPECT_EQ(Results(*stream, 50).size(), 50u);
  const std::optional<absl::Status> why = stream->Stopped();
  ASSERT_TRUE(why.has_value());
  EXPECT_EQ(why->code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(why->message()), HasSubstr("after 50"));
  EXPECT_TRUE(stream->Idle());
}

}  // namespace
}  // namespace herald
