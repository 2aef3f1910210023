#include "service/producer_moves.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/service/replicas.h"

namespace herald {
namespace {

using ::testing::HasSubstr;

constexpr int kOk = 0, kExists = 6, kOutOfRange = 11, kUnavailable = 14;

class ProducerMovesTest : public ReplicasTest {
 protected:
  static v1::Command To(const std::string& topic, std::uint64_t seq) {
    v1::Command command;
    command.set_seq(seq);
    command.mutable_deliver()->mutable_target()->set_topic(topic);
    command.mutable_deliver()->mutable_message()->set_payload(std::to_string(seq));
    return command;
  }
  static v1::PushRequest Request(std::uint64_t first, std::uint64_t last, bool open = true) {
    v1::PushRequest request;
    if (open) request.mutable_open()->set_producer_id("p");
    for (std::uint64_t seq = first; seq <= last; ++seq) *request.add_commands() = To("kept/a", seq);
    return request;
  }
  static void Give(PushStream& stream, const v1::PushRequest& request) {
    ASSERT_TRUE(Eventually([&] { return stream.WantsRequest(); }));
    ASSERT_TRUE(stream.OnRequest(request.SerializeAsString()).ok());
  }
  struct Answer {
    std::optional<std::uint64_t> last_seq;
    std::vector<v1::CommandResult> results;
  };
  static Answer Results(PushStream& stream, std::size_t count, bool opened = true) {
    Answer answer;
    EXPECT_TRUE(Eventually([&] {
      v1::PushResponse response;
      if (stream.TakeResponse(&response)) {
        if (response.has_opened()) answer.last_seq = response.opened().last_seq();
        answer.results.insert(answer.results.end(), response.results().begin(),
                              response.results().end());
        stream.OnWritten();
      }
      return answer.results.size() >= count && (!opened || answer.last_seq);
    }));
    return answer;
  }
  std::uint64_t Messages() {
    MutexLock lock(order_.mutex);
    return order_.offsets["kept/a"];
  }
};

TEST_F(ProducerMovesTest, WhatWasCarriedOutElsewhereIsADuplicate) {
  auto old = a_.OpenStream();
  Give(*old, Request(1, 100));
  const Answer first = Results(*old, 100);
  EXPECT_EQ(first.last_seq, 0u);
  auto moved = b_.OpenStream();
  Give(*moved, Request(51, 120));
  const Answer answer = Results(*moved, 70);
  EXPECT_EQ(answer.last_seq, 100u);
  for (const v1::CommandResult& result : answer.results) {
    EXPECT_EQ(result.code(), kOk) << result.detail();
    EXPECT_EQ(result.duplicate(), result.seq() <= 100) << result.seq();
    if (result.duplicate()) {
      EXPECT_EQ(result.positions(0).offset(),
                first.results[result.seq() - 1].positions(0).offset());
      EXPECT_EQ(result.message_id(), first.results[result.seq() - 1].message_id());
    }
  }
  EXPECT_EQ(Messages(), 120u);
  // And on to a third node, which knows the parts of both.
  auto again = c_.OpenStream();
  Give(*again, Request(90, 125));
  EXPECT_EQ(Results(*again, 36).last_seq, 120u);
  EXPECT_EQ(Messages(), 125u);
  // And back.
  auto back = a_.OpenStream();
  Give(*back, Request(124, 126));
  EXPECT_EQ(Results(*back, 3).last_seq, 125u);
  EXPECT_EQ(Messages(), 126u);
}

TEST_F(ProducerMovesTest, AnotherCommandUnderTheSameSeqIsTold) {
  auto old = a_.OpenStream();
  Give(*old, Request(1, 3));
  Results(*old, 3);
  auto moved = b_.OpenStream();
  v1::PushRequest request;
  request.mutable_open()->set_producer_id("p");
  *request.add_commands() = To("kept/other", 3);
  Give(*moved, request);
  EXPECT_EQ(Results(*moved, 1).results[0].code(), kExists);
}

TEST_F(ProducerMovesTest, TheStreamThatWasLeftBehindIsOver) {
  auto old = a_.OpenStream();
  Give(*old, Request(1, 3));
  Results(*old, 3);
  auto moved = b_.OpenStream();
  Give(*moved, Request(4, 4));
  Results(*moved, 1);
  Give(*old, Request(4, 5, /*open=*/false));
  for (const v1::CommandResult& result : Results(*old, 2, /*opened=*/false).results) {
    EXPECT_EQ(result.code(), kUnavailable);
    EXPECT_THAT(result.detail(), HasSubstr("another replica"));
  }
  EXPECT_EQ(Messages(), 4u);
}

TEST_F(ProducerMovesTest, WhatIsInFlightIsWaitedFor) {
  auto session = a_.node().Add();
  v1::PushRequest request;
  request.mutable_open()->set_producer_id("p");
  v1::Command& slow = *request.add_commands();
  slow.set_seq(1);
  slow.mutable_deliver()->mutable_target()->set_session_id(a_.IdOf(*session));
  auto old = a_.OpenStream(), moved = b_.OpenStream();
  {
    Busy busy(a_.node().shard());
    Give(*old, request);
    EXPECT_EQ(Results(*old, 0).last_seq, 0u);
    ASSERT_TRUE(Eventually([&] { return a_.runner().commands() == 1; }));
    Give(*moved, request);
    absl::SleepFor(absl::Milliseconds(50));
    v1::PushResponse response;
    EXPECT_FALSE(moved->TakeResponse(&response));
  }
  const Answer answer = Results(*moved, 1);
  EXPECT_EQ(answer.last_seq, 1u);
  EXPECT_TRUE(answer.results[0].duplicate());
}

TEST_F(ProducerMovesTest, ASilentNodeIsNotWaitedForForever) {
  auto old = a_.OpenStream();
  Give(*old, Request(1, 3));
  Results(*old, 3);
  network_.Silence("a");
  auto moved = b_.OpenStream();
  Give(*moved, Request(4, 5));
  const Answer answer = Results(*moved, 2);
  EXPECT_EQ(answer.last_seq, 0u) << "nobody knows";
  for (const v1::CommandResult& result : answer.results) EXPECT_EQ(result.code(), kOk);
}

TEST_F(ProducerMovesTest, OnlyTheNewestAreToldOneByOne) {
  Idempotency from(absl::Minutes(2), 1000), to(absl::Minutes(2), 1000);
  auto stream = from.Open("", "p");
  const auto none = []() -> Idempotency::Done { return nullptr; };
  for (std::uint64_t seq = 1; seq <= 6; ++seq) {
    auto begun = from.Begin(stream, seq, {seq, seq}, none);
    v1::CommandResult result;
    result.set_seq(seq);
    if (seq == 5) result.set_code(8);
    from.Finish(std::get<Idempotency::Ticket>(begun), result);
  }
  auto history = from.LetGo("", "p", 2);
  ASSERT_TRUE(history);
  EXPECT_EQ(history->done.size(), 2u);
  EXPECT_EQ(history->forgotten, 3u);
  auto there = to.Open("", "p");
  to.Adopt(there, *history);
  to.Adopt(there, *history);  // nothing new
  EXPECT_EQ(to.keys(), 3u);
  EXPECT_EQ(to.LastSeq(there), 4u) << "5 failed";
  const auto code_of = [&](std::uint64_t seq) {
    auto begun = to.Begin(there, seq, {seq, seq}, none);
    const auto* answer = std::get_if<v1::CommandResult>(&begun);
    return answer == nullptr ? -1 : answer->code();
  };
  EXPECT_EQ(code_of(3), kOutOfRange);
  EXPECT_EQ(code_of(4), kOk);
  EXPECT_EQ(code_of(6), kOk);
  EXPECT_EQ(code_of(5), -1) << "to be carried out";
  EXPECT_EQ(code_of(7), -1);
  EXPECT_FALSE(to.LetGo("", "p", 10)) << "in flight";
  EXPECT_TRUE(to.LetGo("", "unknown", 10));
}

}  // namespace
}  // namespace herald
