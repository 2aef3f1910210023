#include "service/push_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/session/node.h"

namespace herald {
namespace {

using ::testing::HasSubstr;

// Stands in for the reactor: takes what is ready, and counts.
class PushStreamTest : public ::testing::Test {
 protected:
  static constexpr std::size_t kMaxInFlight = 100;

  std::shared_ptr<PushStream> Open() {
    return std::make_shared<PushStream>(runner_, node_.shards(), executor_, kMaxInFlight, "");
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
  ASSERT_TRUE(stream->OnRequest(std::move(request)).ok());
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
    ASSERT_TRUE(stream->OnRequest(std::move(request)).ok());
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
  ASSERT_TRUE(stream->OnRequest(std::move(request)).ok());
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
  auto stream = std::make_shared<PushStream>(runner, node.shards(), executor_, kMaxInFlight, "");
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

TEST_F(PushStreamTest, OpenIsForTheFirstRequestOnly) {
  auto stream = Open();
  v1::PushRequest open;
  open.mutable_open();
  ASSERT_TRUE(stream->OnRequest(open).ok());
  v1::PushResponse response;
  ASSERT_TRUE(stream->TakeResponse(&response));
  EXPECT_EQ(response.opened().node(), "node-1");
  stream->OnWritten();
  EXPECT_THAT(std::string(stream->OnRequest(open).message()), HasSubstr("open"));
  open.mutable_open()->set_producer_id("p");
  EXPECT_EQ(Open()->OnRequest(open).code(), absl::StatusCode::kUnimplemented);
}

TEST_F(PushStreamTest, RefusesAnOverlongRequest) {
  v1::PushRequest request;
  for (int i = 0; i <= PushStream::kMaxCommandsARequest; ++i) request.add_commands();
  EXPECT_EQ(Open()->OnRequest(std::move(request)).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace herald
