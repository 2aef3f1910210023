#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/synchronization/notification.h"
#include "client/producer.h"
#include "tests/client/producer_fixture.h"

namespace herald {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

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

}  // namespace
}  // namespace herald
