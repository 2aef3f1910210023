// Several replicas: streams that are told to move, that break, and commands that are unavailable.
#include "tests/client/producer_fixture.h"

namespace herald {
namespace {

using ::testing::ElementsAreArray;
using ::testing::IsEmpty;
using ::testing::SizeIs;

FakeHerald::Plan MoveAfter(std::size_t commands) { return {.move_after = commands}; }

std::vector<std::uint64_t> Joined(std::vector<std::uint64_t> a,
                                  const std::vector<std::uint64_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// A batch of one, so that the notice comes in between.
Producer::Options Singly(Producer::Options options) {
  options.max_batch = 1;
  return options;
}

class ProducerMoveTest : public ::testing::TestWithParam<bool> {
 protected:
  Producer::Options Options() const {
    Producer::Options options = Singly(Quick());
    if (!GetParam()) options.producer_id = "";
    return options;
  }
};

TEST_P(ProducerMoveTest, GoesOnAtTheNextAndSendsNothingTwice) {
  FakeHerald leaving(First({MoveAfter(5)})), stays;
  Told told;
  Producer producer({leaving.Channel(), stays.Channel()}, Options());
  SendMany(producer, told, 5);
  ASSERT_TRUE(producer.Flush(Deadline()).ok());
  SendMany(producer, told, 45);
  EXPECT_TRUE(producer.Close(Deadline()).ok());
  EXPECT_THAT(told.seqs(), ElementsAreArray(UpTo(50)));
  EXPECT_THAT(told.errors, IsEmpty());
  EXPECT_THAT(leaving.carried_out(), SizeIs(5)) << "the notice came with the fifth result";
  EXPECT_THAT(Joined(leaving.carried_out(), stays.carried_out()), ElementsAreArray(UpTo(50)));
  for (const v1::CommandResult& result : told.results) EXPECT_FALSE(result.duplicate());
  EXPECT_EQ(leaving.streams(), 1u);
}

TEST_P(ProducerMoveTest, AwaitsTheReceiptsOfTheOldStream) {
  FakeHerald leaving(
      [](std::size_t) { return FakeHerald::Plan{.move_after = 1, .late_receipts = true}; });
  FakeHerald stays;
  leaving.set_receipts(/*before=*/false);
  stays.set_receipts(/*before=*/false);
  Told told;
  Producer producer({leaving.Channel(), stays.Channel()}, Options());
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(
        producer.Send(Deliver("x", v1::REPORT_LEVEL_WRITTEN), told.Result(), told.Receipt()).ok());
    ASSERT_TRUE(producer.Flush(Deadline()).ok());
  }
  EXPECT_TRUE(producer.Close(Deadline()).ok());
  ASSERT_THAT(told.receipts, SizeIs(2));
  for (const auto& receipt : told.receipts) {
    ASSERT_TRUE(receipt.ok()) << receipt.status();
    EXPECT_EQ(receipt->written(), 7u);
  }
}

TEST_P(ProducerMoveTest, WithOneAddressItOpensAnotherStreamThere) {
  FakeHerald herald(First({MoveAfter(3)}));
  Told told;
  Producer producer(herald.Channel(), Options());
  SendMany(producer, told, 3);
  ASSERT_TRUE(producer.Flush(Deadline()).ok());
  SendMany(producer, told, 17);
  EXPECT_TRUE(producer.Close(Deadline()).ok());
  EXPECT_THAT(told.seqs(), ElementsAreArray(UpTo(20)));
  EXPECT_THAT(herald.carried_out(), ElementsAreArray(UpTo(20)));
  EXPECT_EQ(herald.streams(), 2u);
}

INSTANTIATE_TEST_SUITE_P(Producer, ProducerMoveTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "WithId" : "WithoutId"; });

TEST(ProducerReplicasTest, ABrokenStreamGoesToTheNextAtOnce) {
  FakeHerald breaks(First({{.cut_after = 5}})), stays;
  Told told;
  Producer::Options options = Quick();
  options.initial_backoff = options.max_backoff = absl::Minutes(10);
  Producer producer({breaks.Channel(), stays.Channel()}, std::move(options));
  SendMany(producer, told, 20);
  EXPECT_TRUE(producer.Close(Deadline()).ok());
  EXPECT_THAT(told.seqs(), ElementsAreArray(UpTo(20)));
  EXPECT_EQ(stays.streams(), 1u);
}

TEST(ProducerUnavailableTest, IsTriedAgainBeforeWhatFollows) {
  FakeHerald herald;
  std::vector<std::uint64_t> done;
  int away = 3;
  herald.set_action([&](const v1::Command& command) {
    v1::CommandResult result;
    if (command.seq() >= 4 && away > 0) {
      --away;
      result.set_code(grpc::StatusCode::UNAVAILABLE);
      result.set_detail("the broker is away");
    } else {
      done.push_back(command.seq());
    }
    return result;
  });
  Told told;
  Producer producer(herald.Channel(), Quick());
  SendMany(producer, told, 20);
  EXPECT_TRUE(producer.Close(Deadline()).ok());
  EXPECT_THAT(done, ElementsAreArray(UpTo(20)));
  EXPECT_THAT(told.seqs(), ElementsAreArray(UpTo(20)));
  for (const v1::CommandResult& result : told.results) EXPECT_EQ(result.code(), 0);
  EXPECT_EQ(herald.streams(), 4u);
}

TEST(ProducerUnavailableTest, IsAResultWhereItIsNotTriedAgain) {
  for (const bool with_id : {true, false}) {
    FakeHerald herald;
    herald.set_action([&](const v1::Command&) {
      v1::CommandResult result;
      result.set_code(grpc::StatusCode::UNAVAILABLE);
      return result;
    });
    Producer::Options options = Quick();
    options.retry_unavailable_for = with_id ? absl::ZeroDuration() : absl::Minutes(1);
    if (!with_id) options.producer_id = "";
    Told told;
    Producer producer(herald.Channel(), std::move(options));
    SendMany(producer, told, 3);
    EXPECT_TRUE(producer.Close(Deadline()).ok());
    EXPECT_THAT(told.results, SizeIs(3));
    EXPECT_EQ(herald.streams(), 1u);
  }
}

TEST(ProducerUnavailableTest, IsGivenUpInTheEnd) {
  FakeHerald herald;
  herald.set_action([&](const v1::Command& command) {
    v1::CommandResult result;
    if (command.seq() == 2) result.set_code(grpc::StatusCode::UNAVAILABLE);
    return result;
  });
  Producer::Options options = Quick();
  options.retry_unavailable_for = absl::Milliseconds(100);
  Told told;
  Producer producer(herald.Channel(), std::move(options));
  SendMany(producer, told, 3);
  EXPECT_TRUE(producer.Close(Deadline()).ok());
  ASSERT_THAT(told.seqs(), ElementsAreArray(UpTo(3)));
  EXPECT_EQ(told.results[1].code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_GT(herald.streams(), 1u);
}

}  // namespace
}  // namespace herald
