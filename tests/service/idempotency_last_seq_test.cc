#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "service/idempotency.h"
#include "tests/service/idempotency_fixture.h"

namespace herald {
namespace {

using ::testing::HasSubstr;

TEST_F(IdempotencyTest, LastSeqIsHeldBackByCommandsInFlight) {
  auto stream = memory_.Open("shop", "p");
  EXPECT_EQ(memory_.LastSeq(stream), 0u);
  const Begun one = Begin(stream, 1), two = Begin(stream, 2), three = Begin(stream, 3);
  EXPECT_EQ(memory_.LastSeq(stream), 0u);
  Finish(three, Success(3));
  EXPECT_EQ(memory_.LastSeq(stream), 0u);
  Finish(one, Success(1));
  EXPECT_EQ(memory_.LastSeq(stream), 1u);
  Finish(two, Success(2));
  EXPECT_EQ(memory_.LastSeq(stream), 3u);
}

TEST_F(IdempotencyTest, LastSeqIsHeldBackByAFailureUntilItsRetrySucceeds) {
  auto stream = memory_.Open("shop", "p");
  Succeed(stream, {1, 2});
  Finish(Begin(stream, 3), Failure(3));
  Succeed(stream, {4, 5});
  EXPECT_EQ(memory_.LastSeq(stream), 2u);
  const Begun retry = Begin(stream, 3);
  EXPECT_EQ(memory_.LastSeq(stream), 2u);
  Finish(retry, Failure(3));
  EXPECT_EQ(memory_.LastSeq(stream), 2u);
  Succeed(stream, {3});
  EXPECT_EQ(memory_.LastSeq(stream), 5u);
}

TEST_F(IdempotencyTest, ForgottenFailureHoldsNothingBack) {
  auto stream = memory_.Open("shop", "p");
  Finish(Begin(stream, 3), Failure(3));
  Pass(kWindow / 2);
  Succeed(stream, {4});
  EXPECT_EQ(memory_.LastSeq(stream), 0u);
  Pass(kWindow / 2);
  EXPECT_EQ(memory_.LastSeq(stream), 4u);
  const Begun retry = Begin(stream, 3);
  ASSERT_TRUE(Runs(retry)) << "it never was carried out";
  Finish(retry, Failure(3));
  EXPECT_EQ(memory_.LastSeq(stream), 0u);
  Pass(kWindow);
  EXPECT_EQ(memory_.LastSeq(stream), 4u);
}

TEST_F(IdempotencyTest, LastSeqBelowAFailureWhoseNeighboursAreForgotten) {
  auto stream = memory_.Open("shop", "p");
  Succeed(stream, {1, 2});
  Finish(Begin(stream, 3), Failure(3));
  Succeed(stream, {4});
  Pass(kWindow / 2);
  Finish(Begin(stream, 3), Failure(3));
  Pass(kWindow / 2);
  memory_.Sweep();  // 1, 2 and 4
  EXPECT_EQ(memory_.keys(), 1u);
  EXPECT_EQ(memory_.LastSeq(stream), 2u);
  EXPECT_TRUE(Runs(Begin(stream, 3))) << "a failure that is remembered may be retried";
}

TEST_F(IdempotencyTest, SeqsLeftOutAreNewAndHoldLastSeqBackOnceTheyCome) {
  auto stream = memory_.Open("shop", "p");
  Succeed(stream, {1, 2, 10});
  EXPECT_EQ(memory_.LastSeq(stream), 10u);
  const Begun late = Begin(stream, 5);
  ASSERT_TRUE(Runs(late)) << "never seen, so never called a duplicate";
  EXPECT_EQ(memory_.LastSeq(stream), 2u);
  Finish(late, Success(5));
  EXPECT_EQ(memory_.LastSeq(stream), 10u);
}

TEST_F(IdempotencyTest, SeqThatMayBeForgottenIsOutOfRange) {
  auto stream = memory_.Open("shop", "p");
  Succeed(stream, {1, 2, 10});
  Pass(kWindow / 2);
  Succeed(stream, {4, 12});
  Pass(kWindow / 2);
  for (const std::uint64_t seq : {1, 2, 3, 10}) {
    const v1::CommandResult refused = AnswerOf(Begin(stream, seq));
    EXPECT_EQ(refused.code(), kOutOfRange) << seq;
    EXPECT_FALSE(refused.duplicate());
    EXPECT_THAT(refused.detail(), HasSubstr("idempotency_window"));
  }
  EXPECT_TRUE(AnswerOf(Begin(stream, 4)).duplicate()) << "it is remembered";
  EXPECT_TRUE(Runs(Begin(stream, 11))) << "above all that is forgotten";
  EXPECT_EQ(memory_.LastSeq(stream), 10u);
}

// Random commands of one producer against a model that remembers everything.
TEST_F(IdempotencyTest, LastSeqIsAsTheModelSays) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    Idempotency memory(kWindow, 1'000'000, [this] { return now_; });
    auto stream = memory.Open("shop", "p");
    std::map<std::uint64_t, bool> succeeded;  // by all that were begun
    std::vector<std::pair<Ticket, std::uint64_t>> in_flight;
    for (int step = 0; step < 300; ++step) {
      if (random() % 2 == 0) {
        const std::uint64_t seq = 1 + random() % 60;
        const Begun begun =
            memory.Begin(stream, seq, Payload("x"), [] { return [](const v1::CommandResult&) {}; });
        const bool known = succeeded.contains(seq) && succeeded[seq];
        EXPECT_EQ(std::holds_alternative<v1::CommandResult>(begun), known);
        if (const auto* ticket = std::get_if<Ticket>(&begun)) {
          succeeded[seq] = false;
          in_flight.emplace_back(*ticket, seq);
        }
      } else if (!in_flight.empty()) {
        std::swap(in_flight[random() % in_flight.size()], in_flight.back());
        const auto [ticket, seq] = in_flight.back();
        in_flight.pop_back();
        const bool good = random() % 4 != 0;
        v1::CommandResult result = good ? Success(seq) : Failure(seq);
        memory.Finish(ticket, result);
        succeeded[seq] = good;
      }
      std::uint64_t expected = 0;
      for (const auto& [seq, good] : succeeded) {
        if (!good) break;
        expected = seq;
      }
      ASSERT_EQ(memory.LastSeq(stream), expected) << "seed " << seed << ", step " << step;
    }
  }
}

}  // namespace
}  // namespace herald
