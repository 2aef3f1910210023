#include "service/idempotency.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "tests/service/idempotency_fixture.h"

namespace herald {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST_F(IdempotencyTest, RepeatIsAnsweredAsTheFirstWasAndMarked) {
  auto stream = memory_.Open("shop", "p");
  v1::CommandResult first = Success(7, "m7");
  const Begun begun = Begin(stream, 7);
  memory_.Finish(std::get<Ticket>(begun), first);
  EXPECT_FALSE(first.duplicate()) << "the first is none";
  EXPECT_EQ(first.seq(), 7u);

  const v1::CommandResult again = AnswerOf(Begin(stream, 7));
  v1::CommandResult expected = Success(7, "m7");
  expected.set_duplicate(true);
  EXPECT_EQ(again.SerializeAsString(), expected.SerializeAsString());
  EXPECT_EQ(memory_.duplicates(), 1u);
}

TEST_F(IdempotencyTest, RepeatByKeyHasTheSeqOfTheRepeat) {
  Finish(BeginKey("k", "x", 1), Success(1, "m1"));
  const v1::CommandResult again = AnswerOf(BeginKey("k", "x", 9));
  EXPECT_EQ(again.seq(), 9u);
  EXPECT_EQ(again.message_id(), "m1");
  EXPECT_EQ(again.positions(0).offset(), 1u);
  EXPECT_TRUE(again.duplicate());
}

TEST_F(IdempotencyTest, KeysOfProducersAndKindsAreApart) {
  auto stream = memory_.Open("shop", "p");
  Succeed(stream, {1});
  Finish(BeginKey("p"), Success(1));
  auto other_id = memory_.Open("shop", "q"), other_name = memory_.Open("mail", "p");
  EXPECT_TRUE(Runs(Begin(other_id, 1)));
  EXPECT_TRUE(Runs(Begin(other_name, 1)));
  EXPECT_TRUE(Runs(BeginKey("q")));
  EXPECT_TRUE(Runs(BeginKey("p", "x", 1, "mail")));
  // Where the name ends and the key begins counts.
  EXPECT_TRUE(Runs(BeginKey("opp", "x", 1, "sh")));
  EXPECT_EQ(memory_.LastSeq(other_name), 0u);
}

TEST_F(IdempotencyTest, AnotherPayloadAlreadyExists) {
  auto stream = memory_.Open("shop", "p");
  const Begun first = Begin(stream, 1);
  v1::CommandResult refused = AnswerOf(Begin(stream, 1, "y"));
  EXPECT_EQ(refused.code(), kAlreadyExists) << "while the first is in flight";
  Finish(first, Success(1));
  refused = AnswerOf(Begin(stream, 1, "y"));
  EXPECT_EQ(refused.code(), kAlreadyExists);
  EXPECT_EQ(refused.seq(), 1u);
  EXPECT_FALSE(refused.duplicate());
  EXPECT_THAT(refused.detail(), HasSubstr("seq 1"));
  Finish(BeginKey("k"), Success(1));
  refused = AnswerOf(BeginKey("k", "y"));
  EXPECT_EQ(refused.code(), kAlreadyExists);
  EXPECT_THAT(refused.detail(), HasSubstr("idempotency_key"));
  EXPECT_EQ(memory_.duplicates(), 0u);
  EXPECT_EQ(memory_.LastSeq(stream), 1u) << "the refused one changes nothing";
}

TEST_F(IdempotencyTest, FingerprintIsOfTheActionAlone) {
  v1::Command command;
  command.set_seq(1);
  auto& attributes = *command.mutable_deliver()->mutable_message()->mutable_attributes();
  for (int i = 0; i < 50; ++i) attributes[std::to_string(i)] = "a";
  v1::Command same;
  same.set_seq(2);
  auto& backwards = *same.mutable_deliver()->mutable_message()->mutable_attributes();
  for (int i = 50; i-- > 0;) backwards[std::to_string(i)] = "a";
  EXPECT_EQ(FingerprintOf(command), FingerprintOf(same));
  backwards["7"] = "b";
  EXPECT_NE(FingerprintOf(command), FingerprintOf(same));
  v1::Command join, leave;
  join.mutable_join()->add_topics("a");
  leave.mutable_leave()->add_topics("a");
  EXPECT_NE(FingerprintOf(join), FingerprintOf(leave));
}

TEST_F(IdempotencyTest, RepeatInFlightWaitsForTheFirst) {
  auto old = memory_.Open("shop", "p"), successor = memory_.Open("shop", "p");
  const Begun first = Begin(old, 1);
  EXPECT_TRUE(Waits(Begin(successor, 1)));
  EXPECT_TRUE(Waits(Begin(old, 1)));
  EXPECT_THAT(waited_, SizeIs(0));
  Finish(first, Success(1, "m1"));
  ASSERT_THAT(waited_, SizeIs(2));
  for (const v1::CommandResult& result : waited_) {
    EXPECT_EQ(result.message_id(), "m1");
    EXPECT_TRUE(result.duplicate());
  }
  EXPECT_EQ(memory_.duplicates(), 2u);
}

TEST_F(IdempotencyTest, WhoWaitsForAFailureIsToldIt) {
  const Begun first = BeginKey("k", "x", 1);
  EXPECT_TRUE(Waits(BeginKey("k", "x", 2)));
  Finish(first, Failure(1));
  ASSERT_THAT(waited_, SizeIs(1));
  EXPECT_EQ(waited_[0].seq(), 2u);
  EXPECT_EQ(waited_[0].code(), kNotFound);
  EXPECT_FALSE(waited_[0].duplicate());
  EXPECT_EQ(memory_.duplicates(), 0u);
}

TEST_F(IdempotencyTest, FailedCommandIsCarriedOutAgain) {
  auto stream = memory_.Open("shop", "p");
  Finish(Begin(stream, 1), Failure(1));
  Finish(BeginKey("k"), Failure(1));
  EXPECT_TRUE(Runs(BeginKey("k", "y"))) << "and may be another: nothing came of the first";
  const Begun retry = Begin(stream, 1, "y");
  ASSERT_TRUE(Runs(retry));
  EXPECT_TRUE(Waits(Begin(stream, 1, "y")));
  Finish(retry, Success(1));
  EXPECT_EQ(AnswerOf(Begin(stream, 1, "x")).code(), kAlreadyExists);
  EXPECT_TRUE(AnswerOf(Begin(stream, 1, "y")).duplicate());
}

TEST_F(IdempotencyTest, ForgetsAfterTheWindowWhichRepeatsDoNotProlong) {
  Finish(BeginKey("k"), Success(1));
  Pass(kWindow - absl::Nanoseconds(1));
  EXPECT_TRUE(AnswerOf(BeginKey("k")).duplicate());
  Pass(absl::Nanoseconds(1));
  EXPECT_TRUE(Runs(BeginKey("k")));
}

TEST_F(IdempotencyTest, WindowBeginsWithTheResult) {
  const Begun slow = BeginKey("k");
  Pass(10 * kWindow);
  EXPECT_TRUE(Waits(BeginKey("k"))) << "what is in flight is never forgotten";
  Finish(slow, Success(1));
  Pass(kWindow / 2);
  EXPECT_TRUE(AnswerOf(BeginKey("k")).duplicate());
}

TEST_F(IdempotencyTest, OldEntryIsNotAnsweredThoughManyOlderOnesWait) {
  auto stream = memory_.Open("shop", "p");
  for (std::uint64_t seq = 1; seq <= 100; ++seq) Succeed(stream, {seq});
  Pass(kWindow);
  EXPECT_EQ(AnswerOf(Begin(stream, 100)).code(), kOutOfRange);
}

TEST_F(IdempotencyTest, SweepForgetsAllThatHasRunOut) {
  auto stream = memory_.Open("shop", "p");
  for (std::uint64_t seq = 1; seq <= 100; ++seq) {
    Succeed(stream, {seq});
    Finish(BeginKey(std::to_string(seq)), Success(seq));
  }
  Pass(kWindow / 2);
  Succeed(stream, {101});
  EXPECT_EQ(memory_.keys(), 201u);
  Pass(kWindow / 2);
  memory_.Sweep();
  EXPECT_EQ(memory_.keys(), 1u);
  EXPECT_EQ(memory_.evicted(), 0u);
}

TEST_F(IdempotencyTest, ProducerGoesWithItsLastEntryAndStream) {
  auto stream = memory_.Open("shop", "p");
  Succeed(stream, {1, 2});
  stream = {};
  EXPECT_EQ(memory_.producers(), 1u);
  stream = memory_.Open("shop", "p");
  EXPECT_EQ(memory_.LastSeq(stream), 2u) << "known to its successor";
  Pass(kWindow);
  memory_.Sweep();
  EXPECT_EQ(memory_.LastSeq(stream), 2u) << "as long as a stream is open";
  EXPECT_EQ(memory_.producers(), 1u);
  stream = {};
  EXPECT_EQ(memory_.producers(), 0u);
  stream = memory_.Open("shop", "p");
  EXPECT_EQ(memory_.LastSeq(stream), 0u);
  EXPECT_TRUE(Runs(Begin(stream, 1)));
}

TEST_F(IdempotencyTest, ProducerStaysWhileACommandIsInFlight) {
  auto stream = memory_.Open("shop", "p");
  const Begun begun = Begin(stream, 1);
  stream = {};
  EXPECT_EQ(memory_.producers(), 1u);
  Finish(begun, Success(1));
  stream = memory_.Open("shop", "p");
  EXPECT_TRUE(AnswerOf(Begin(stream, 1)).duplicate());
  stream = {};
  Pass(kWindow);
  memory_.Sweep();
  EXPECT_EQ(memory_.producers(), 0u);
}

TEST_F(IdempotencyTest, G11AProducersFloodPushesOutItsOwnCommands) {
  Idempotency small(kWindow, 80, [this] { return now_; });
  const auto begin = [&](const Idempotency::Stream& stream, std::uint64_t seq) {
    return small.Begin(stream, seq, Payload("x"), [&] { return Collect(); });
  };
  const auto succeed = [&](const Idempotency::Stream& stream, std::uint64_t seq) {
    v1::CommandResult result = Success(seq);
    small.Finish(std::get<Ticket>(begin(stream, seq)), result);
  };
  const Idempotency::Stream quiet = small.Open("shop", "quiet"),
                            flood = small.Open("shop", "flood");
  for (std::uint64_t seq = 1; seq <= 8; ++seq) succeed(quiet, seq);
  for (std::uint64_t seq = 1; seq <= 500; ++seq) succeed(flood, seq);
  EXPECT_EQ(small.keys(), 80u);
  for (std::uint64_t seq = 1; seq <= 8; ++seq)
    EXPECT_TRUE(AnswerOf(begin(quiet, seq)).duplicate()) << seq;
  EXPECT_EQ(AnswerOf(begin(flood, 1)).code(), kOutOfRange);
  EXPECT_TRUE(AnswerOf(begin(flood, 500)).duplicate());
}

TEST_F(IdempotencyTest, OldestOfAllProducersIsEvicted) {
  Idempotency small(kWindow, 10, [this] { return now_; });
  const auto begin = [&](const Idempotency::Stream& stream, std::uint64_t seq) {
    return small.Begin(stream, seq, Payload("x"), [&] { return Collect(); });
  };
  std::vector<Idempotency::Stream> streams;
  for (int i = 0; i < 30; ++i) {  // more than there are stripes
    streams.push_back(small.Open("shop", std::to_string(i)));
    Pass(absl::Milliseconds(1));
    v1::CommandResult result = Success(1);
    small.Finish(std::get<Ticket>(begin(streams.back(), 1)), result);
    EXPECT_LE(small.keys(), 10u);
  }
  EXPECT_EQ(small.keys(), 10u);
  EXPECT_EQ(small.evicted(), 20u);
  for (std::size_t i = 0; i < streams.size(); ++i) {
    const v1::CommandResult again = AnswerOf(begin(streams[i], 1));
    EXPECT_EQ(again.code(), i < 20 ? kOutOfRange : 0) << i;
    EXPECT_EQ(again.duplicate(), i >= 20) << i;
    EXPECT_EQ(small.LastSeq(streams[i]), 1u);
  }
}

TEST_F(IdempotencyTest, LongAnswersCountAsSeveralKeys) {
  Idempotency small(kWindow, 10, [this] { return now_; });
  const auto begin = [&](std::string_view key) {
    return small.Begin("shop", key, 1, Payload("x"), [&] { return Collect(); });
  };
  for (const char* key : {"a", "b", "c"}) {
    Pass(absl::Milliseconds(1));
    v1::CommandResult result = Success(1, std::string(4 * Idempotency::kAnswerBytesAKey, 'm'));
    small.Finish(std::get<Ticket>(begin(key)), result);
  }
  EXPECT_EQ(small.keys(), 2u);
  EXPECT_TRUE(Runs(begin("a")));
  EXPECT_TRUE(AnswerOf(begin("c")).duplicate());
}

TEST_F(IdempotencyTest, FailuresCountUntilTheyAreRetried) {
  auto stream = memory_.Open("shop", "p");
  Finish(Begin(stream, 1), Failure(1));
  Finish(BeginKey("k"), Failure(1));
  EXPECT_EQ(memory_.keys(), 1u) << "a failed key leaves nothing";
  const Begun retry = Begin(stream, 1);
  EXPECT_EQ(memory_.keys(), 0u);
  Finish(retry, Success(1));
  EXPECT_EQ(memory_.keys(), 1u);
}

TEST_F(IdempotencyTest, NamesAreBounded) {
  EXPECT_TRUE(CheckIdempotencyKey("f", std::string(128, 'x')).ok());
  EXPECT_THAT(std::string(CheckIdempotencyKey("f", std::string(129, 'x')).message()),
              HasSubstr("f has 129 bytes"));
  EXPECT_THAT(std::string(CheckIdempotencyKey("f", "\xff").message()), HasSubstr("f is not UTF-8"));
}

TEST_F(IdempotencyTest, WaitersThatHoldStreamsGoWithIt) {
  auto memory = std::make_unique<Idempotency>(kWindow, 10);
  auto stream = std::make_shared<Idempotency::Stream>(memory->Open("shop", "p"));
  const auto hold = [&]() -> Idempotency::Done { return [stream](v1::CommandResult) {}; };
  EXPECT_TRUE(Runs(memory->Begin(*stream, 1, Payload("x"), hold)));
  EXPECT_TRUE(Waits(memory->Begin(*stream, 1, Payload("x"), hold)));
  stream.reset();
  memory.reset();
}

// Threads race for the same keys: each success is one, and everybody gets its answer.
TEST_F(IdempotencyTest, RacingThreadsCarryOutOnce) {
  constexpr int kThreads = 4;
  constexpr std::uint64_t kSeqs = 10'000;
  Idempotency memory(absl::Hours(1), 1'000'000);
  std::vector<std::atomic<int>> carried_out(kSeqs + 1), answered(kSeqs + 1);
  std::mutex mutex;
  std::vector<std::pair<Ticket, std::uint64_t>> in_flight;  // finished by whoever comes by
  const auto answer = [&](const v1::CommandResult& result) {
    EXPECT_EQ(result.message_id(), std::to_string(result.seq()));
    EXPECT_TRUE(result.duplicate());
    answered[result.seq()].fetch_add(1);
  };
  const auto finish_one = [&](std::mt19937& random) {
    std::unique_lock lock(mutex);
    if (in_flight.empty()) return;
    std::swap(in_flight[random() % in_flight.size()], in_flight.back());
    const auto [ticket, seq] = in_flight.back();
    in_flight.pop_back();
    lock.unlock();
    carried_out[seq].fetch_add(1);
    v1::CommandResult result = Success(seq, std::to_string(seq));
    memory.Finish(ticket, result);
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      std::mt19937 random(static_cast<unsigned>(i));
      auto stream = memory.Open("shop", "p");
      std::uint64_t last_seq = 0;
      for (std::uint64_t seq = 1; seq <= kSeqs; ++seq) {
        const Begun begun =
            memory.Begin(stream, seq, Payload("x"), [&]() -> Idempotency::Done { return answer; });
        if (const auto* ticket = std::get_if<Ticket>(&begun)) {
          std::lock_guard lock(mutex);
          in_flight.emplace_back(*ticket, seq);
        } else if (const auto* result = std::get_if<v1::CommandResult>(&begun)) {
          answer(*result);
        }
        if (random() % 2 == 0) finish_one(random);
        if (random() % 64 == 0) {
          const std::uint64_t now = memory.LastSeq(stream);
          EXPECT_GE(now, last_seq);
          last_seq = now;
          memory.Sweep();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::mt19937 random(7);
  while (!in_flight.empty()) finish_one(random);
  for (std::uint64_t seq = 1; seq <= kSeqs; ++seq) {
    EXPECT_EQ(carried_out[seq], 1) << seq;
    EXPECT_EQ(answered[seq], kThreads - 1) << seq;
  }
  EXPECT_EQ(memory.duplicates(), (kThreads - 1) * kSeqs);
  EXPECT_EQ(memory.LastSeq(memory.Open("shop", "p")), kSeqs);
}

class IdempotencySharesTest : public IdempotencyTest {
 protected:
  IdempotencySharesTest() { memory_.SetLimits(kWindow, 100); }
};

// Many producer ids, none with many commands, and many keys: all are of one name.
TEST_F(IdempotencySharesTest, G19AProducerPushesOutItsOwn) {
  auto calm = memory_.Open("calm", "p");
  Succeed(calm, {1, 2, 3});
  Finish(BeginKey("k", "x", 1, "calm"), Success(1));
  for (std::uint64_t i = 0; i < 300; ++i) {
    Pass(absl::Milliseconds(1));
    auto greedy = memory_.Open("greedy", std::to_string(i));
    Succeed(greedy, {1, 2});
    Finish(BeginKey(std::to_string(i), "x", 1, "greedy"), Success(1));
  }
  EXPECT_LE(memory_.keys(), 100u);
  EXPECT_GT(memory_.evicted(), 500u);
  for (const std::uint64_t seq : {1, 2, 3}) EXPECT_TRUE(AnswerOf(Begin(calm, seq)).duplicate());
  EXPECT_TRUE(AnswerOf(BeginKey("k", "x", 1, "calm")).duplicate());
  EXPECT_TRUE(AnswerOf(BeginKey("299", "x", 1, "greedy")).duplicate()) << "its newest stay";
}

// Nothing was tried: a flood of refused commands is no reason to forget what was done.
TEST_F(IdempotencySharesTest, G19RefusalsOfRightsAndRatesAreNotRemembered) {
  auto stream = memory_.Open("shop", "p");
  Succeed(stream, {1, 2});
  const auto refuse = [&](std::uint64_t seq) {
    v1::CommandResult refusal = Failure(seq);
    return AnswerOf(memory_.Refuse(stream, seq, Payload("x"), refusal, [&] { return Collect(); }));
  };
  for (std::uint64_t seq = 3; seq < 1000; ++seq) EXPECT_EQ(refuse(seq).code(), kNotFound);
  EXPECT_EQ(memory_.keys(), 2u);
  EXPECT_EQ(memory_.evicted(), 0u);
  EXPECT_EQ(memory_.LastSeq(stream), 2u);
  EXPECT_TRUE(refuse(1).duplicate()) << "a repeat is answered as ever";
  // Tried again, they are carried out.
  Succeed(stream, {3});
  EXPECT_EQ(memory_.LastSeq(stream), 3u) << "those behind it were still refused";
  Succeed(stream, {5});
  EXPECT_EQ(memory_.LastSeq(stream), 3u);
  Succeed(stream, {4});
  EXPECT_EQ(memory_.LastSeq(stream), 5u);
  Pass(kWindow + absl::Seconds(1));
  Succeed(stream, {2000});
  EXPECT_EQ(memory_.LastSeq(stream), 2000u) << "long ago";
}

TEST_F(IdempotencySharesTest, G19RefusalsMoveWithTheProducer) {
  Idempotency there{kWindow, 100, [this] { return now_; }};
  auto stream = memory_.Open("shop", "p");
  Succeed(stream, {1, 3});
  v1::CommandResult refusal = Failure(2);
  (void)memory_.Refuse(stream, 2, Payload("x"), refusal, [&] { return Collect(); });
  EXPECT_EQ(memory_.LastSeq(stream), 1u);
  auto moved = there.Open("shop", "p");
  there.Adopt(moved, *memory_.LetGo("shop", "p", 100));
  EXPECT_EQ(there.LastSeq(moved), 1u);
}

}  // namespace
}  // namespace herald
