#include "client/outbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <initializer_list>
#include <vector>

namespace herald {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr Outbox::Time kStart{std::chrono::hours(1)};

class OutboxTest : public testing::Test {
 protected:
  void Add(std::initializer_list<std::uint64_t> seqs, std::size_t bytes = 10) {
    for (const std::uint64_t seq : seqs) {
      v1::Command command;
      command.set_seq(seq);
      command.mutable_deliver()->mutable_message()->set_event(std::to_string(++added_));
      outbox_.Add(std::move(command), bytes, nullptr, nullptr);
    }
  }
  std::vector<std::uint64_t> Fill(std::size_t max_commands = 100, std::size_t max_bytes = 1000,
                                  Outbox::Time now = kStart) {
    request_.Clear();
    const bool filled = outbox_.Fill(max_commands, max_bytes, now, &request_);
    std::vector<std::uint64_t> seqs;
    for (const v1::Command& command : request_.commands()) seqs.push_back(command.seq());
    EXPECT_EQ(filled, !seqs.empty());
    return seqs;
  }
  static std::vector<std::uint64_t> Seqs(const std::vector<Outbox::Entry>& entries) {
    std::vector<std::uint64_t> seqs;
    for (const Outbox::Entry& entry : entries) seqs.push_back(entry.seq);
    return seqs;
  }

  Outbox outbox_{/*rewinds=*/true};
  v1::PushRequest request_;
  int added_ = 0;
};

TEST_F(OutboxTest, FillsInOrderWithinTheLimits) {
  Add({1, 2, 3, 4, 5});
  EXPECT_THAT(Fill(2), ElementsAre(1, 2));
  EXPECT_THAT(Fill(100, 25), ElementsAre(3, 4));
  Add({6}, 5000);
  EXPECT_THAT(Fill(), ElementsAre(5));
  EXPECT_THAT(Fill(), ElementsAre(6)) << "alone, though it is over the limit";
  EXPECT_THAT(Fill(), IsEmpty());
  EXPECT_EQ(outbox_.unwritten(), 0U);
  EXPECT_EQ(outbox_.unwritten_bytes(), 0U);
  EXPECT_EQ(outbox_.size(), 6U);
  EXPECT_EQ(outbox_.bytes(), 5050U);
}

TEST_F(OutboxTest, RewindWritesWhatHasNoResultAgain) {
  Add({1, 2, 3, 4});
  Fill(3);
  EXPECT_TRUE(outbox_.TakeAnswered(2));
  outbox_.Rewind();
  EXPECT_EQ(outbox_.unwritten(), 3U);
  EXPECT_EQ(outbox_.unwritten_bytes(), 30U);
  Add({5});
  EXPECT_THAT(Fill(), ElementsAre(1, 3, 4, 5));
  EXPECT_EQ(request_.commands(0).deliver().message().event(), "1") << "with all that it had";
}

TEST_F(OutboxTest, AnAnswerIsTakenOnce) {
  Add({7});
  Fill();
  EXPECT_TRUE(outbox_.TakeAnswered(7));
  EXPECT_FALSE(outbox_.TakeAnswered(7));
  EXPECT_FALSE(outbox_.TakeAnswered(8));
  EXPECT_TRUE(outbox_.empty());
  EXPECT_EQ(outbox_.bytes(), 0U);
}

TEST_F(OutboxTest, EqualSeqsAreAnsweredInOrder) {
  Add({7, 7, 7});
  Fill();
  for (const char* event : {"1", "2", "3"})
    EXPECT_EQ(outbox_.TakeAnswered(7)->command.deliver().message().event(), event);
}

TEST_F(OutboxTest, AnAnswerToWhatIsToBeWrittenAgainLeavesTheRestInOrder) {
  Add({1, 2, 3});
  Fill();
  outbox_.Rewind();
  EXPECT_TRUE(outbox_.TakeAnswered(1));
  EXPECT_EQ(outbox_.unwritten(), 2U);
  EXPECT_EQ(outbox_.unwritten_bytes(), 20U);
  EXPECT_THAT(Fill(), ElementsAre(2, 3));
}

TEST_F(OutboxTest, TheFirstWritingCounts) {
  Add({1, 2, 3});
  Fill(1, 1000, kStart);
  Fill(1, 1000, kStart + seconds(10));
  outbox_.Rewind();
  Fill(2, 1000, kStart + seconds(20));
  EXPECT_THAT(Seqs(outbox_.TakeWrittenBefore(kStart)), IsEmpty());
  EXPECT_THAT(Seqs(outbox_.TakeWrittenBefore(kStart + seconds(10))), ElementsAre(1));
  EXPECT_THAT(Seqs(outbox_.TakeWrittenBefore(kStart + seconds(60))), ElementsAre(2))
      << "3 was never written, so it is never too old";
  EXPECT_THAT(Seqs(outbox_.TakeAll()), ElementsAre(3));
  EXPECT_EQ(outbox_.unwritten(), 0U);
  EXPECT_EQ(outbox_.bytes(), 0U);
}

TEST_F(OutboxTest, AReceiptBeforeItsResultIsKept) {
  Add({1});
  Fill();
  v1::Receipt receipt;
  receipt.set_seq(2);
  EXPECT_FALSE(outbox_.KeepReceipt(receipt));
  receipt.set_seq(1);
  receipt.set_written(3);
  EXPECT_TRUE(outbox_.KeepReceipt(receipt));
  EXPECT_EQ(outbox_.TakeAnswered(1)->receipt->written(), 3U);
}

TEST(OutboxWithoutRewindTest, WrittenCommandsAreNotKept) {
  Outbox outbox(/*rewinds=*/false);
  v1::Command command;
  command.set_seq(1);
  command.mutable_deliver()->mutable_message()->set_payload("x");
  outbox.Add(std::move(command), 10, nullptr, nullptr);
  v1::PushRequest request;
  EXPECT_TRUE(outbox.Fill(10, 1000, kStart, &request));
  EXPECT_EQ(request.commands(0).deliver().message().payload(), "x");
  const auto entry = outbox.TakeAnswered(1);
  ASSERT_TRUE(entry);
  EXPECT_FALSE(entry->command.has_deliver());
}

}  // namespace
}  // namespace herald
