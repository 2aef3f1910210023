#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "cli/push_stream.h"
#include "tests/cli/push_stream_fixture.h"

namespace herald::cli {
namespace {

// A server whose first stream ends when it has read the third command, and whose others do not.
Handler CutAtTheThird(std::atomic<int>& streams, std::vector<std::uint64_t>& read) {
  return [&](ServerStream& stream) -> grpc::Status {
    const bool cut = streams++ == 0;
    v1::PushRequest request;
    while (stream.Read(&request)) {
      v1::PushResponse response;
      if (request.has_open()) response.mutable_opened();
      for (const v1::Command& command : request.commands()) {
        read.push_back(command.seq());
        if (cut && read.size() == 3) return {grpc::StatusCode::UNAVAILABLE, "cut"};
        response.add_results()->set_seq(command.seq());
      }
      stream.Write(response);
    }
    return grpc::Status::OK;
  };
}

TEST_F(PushStreamTest, AServerThatEndsTheStreamEndsTheRun) {
  Start([](ServerStream&) { return grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "no"); });
  EXPECT_EQ(Join(), absl::PermissionDeniedError("no"));  // though the input is open and silent
}

TEST_F(PushStreamTest, NobodyReadingTheResultsEndsTheRun) {
  Start(Echo);
  CloseOutput();
  Type(std::string(kLine) + "\n");
  EXPECT_EQ(Join().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(summary_.output_lost);
  EXPECT_FALSE(summary_.all_ok());
}

TEST_F(PushStreamTest, WithAProducerIdABrokenStreamIsTriedAgain) {
  std::atomic<int> streams = 0, retries = 0;
  std::vector<std::uint64_t> read;
  PushStreamOptions options;
  options.producer_id = "p";
  options.batch = 1;
  options.on_retry = [&](const Producer::Outage& outage) {
    EXPECT_EQ(outage.status, absl::UnavailableError("cut"));
    ++retries;
  };
  Start(CutAtTheThird(streams, read), options);
  for (int i = 1; i <= 2; ++i) {
    Type(std::string(kLine) + "\n");
    EXPECT_EQ(ReadResults(1).size(), 1U);
  }
  Type(std::string(kLine) + "\n" + kLine + "\n");
  CloseInput();
  const auto results = ReadResults(100);
  ASSERT_EQ(results.size(), 2U);
  EXPECT_EQ(results[0].seq(), 3U);
  EXPECT_EQ(results[1].seq(), 4U);
  EXPECT_TRUE(Join().ok());
  EXPECT_TRUE(summary_.all_ok());
  EXPECT_EQ(retries, 1);
  EXPECT_THAT(read, testing::ElementsAre(1, 2, 3, 3, 4));
}

TEST_F(PushStreamTest, WithoutAProducerIdABrokenStreamIsTheEnd) {
  std::atomic<int> streams = 0;
  std::vector<std::uint64_t> read;
  Start(CutAtTheThird(streams, read));
  for (int i = 1; i <= 2; ++i) {
    Type(std::string(kLine) + "\n");
    EXPECT_EQ(ReadResults(1).size(), 1U);
  }
  Type(std::string(kLine) + "\n");
  EXPECT_EQ(Join(), absl::UnavailableError("cut"));  // though the input is open
  EXPECT_EQ(streams, 1);
  EXPECT_EQ(summary_.commands, 3U);
  EXPECT_EQ(summary_.ok, 2U);
}

TEST_F(PushStreamTest, AnOutageThatLastsTooLongIsTheEnd) {
  std::atomic<int> streams = 0;
  std::vector<std::uint64_t> read;
  PushStreamOptions options;
  options.producer_id = "p";
  options.retry_for = absl::Milliseconds(300);
  Start(
      [&](ServerStream& stream) -> grpc::Status {
        if (streams++ > 0) return {grpc::StatusCode::UNAVAILABLE, "still not"};
        std::atomic<int> first = 0;
        return CutAtTheThird(first, read)(stream);
      },
      options);
  for (int i = 1; i <= 3; ++i) Type(std::string(kLine) + "\n");
  EXPECT_EQ(Join(), absl::UnavailableError("still not"));
  EXPECT_GT(streams, 1);
  EXPECT_FALSE(summary_.all_ok());
}

TEST_F(PushStreamTest, AServerThatNeverAnsweredIsNotWaitedFor) {
  std::atomic<int> streams = 0;
  PushStreamOptions options;
  options.producer_id = "p";
  Start(
      [&](ServerStream&) -> grpc::Status {
        ++streams;
        return {grpc::StatusCode::UNAVAILABLE, "nobody"};
      },
      options);
  EXPECT_EQ(Join(), absl::UnavailableError("nobody"));
  EXPECT_EQ(streams, 1);
}

}  // namespace
}  // namespace herald::cli
