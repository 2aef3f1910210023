#include "cli/push_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "tests/cli/push_stream_fixture.h"

namespace herald::cli {
namespace {

TEST_F(PushStreamTest, EachLineGetsItsResultAndTheEndIsClean) {
  Start(Echo);
  Type(std::string(kLine) + "\n\n" + R"({"seq":"9","join":{"topics":["a"]}})" + "\n" + kLine);
  CloseInput();
  const auto results = ReadResults(100);
  ASSERT_EQ(results.size(), 3U);
  EXPECT_EQ(results[0].seq(), 1U);
  EXPECT_EQ(results[1].seq(), 9U);
  EXPECT_EQ(results[1].code(), 5);
  EXPECT_EQ(results[2].seq(), 4U);  // the number of its line
  EXPECT_TRUE(Join().ok());
  EXPECT_EQ(summary_.commands, 3U);
  EXPECT_EQ(summary_.ok, 2U);
  EXPECT_EQ(summary_.refused, 1U);
  EXPECT_FALSE(summary_.all_ok());
}

TEST_F(PushStreamTest, ABadLineIsAnsweredAndDisturbsNothing) {
  Start(Echo);
  Type(std::string(kLine) + "\nnonsense\n" + kLine + "\n");
  CloseInput();
  auto results = ReadResults(100);
  ASSERT_EQ(results.size(), 3U);
  std::sort(results.begin(), results.end(),
            [](const auto& a, const auto& b) { return a.seq() < b.seq(); });
  EXPECT_EQ(results[0].code(), 0);
  EXPECT_EQ(results[1].code(), 3);
  EXPECT_EQ(results[1].seq(), 2U);
  EXPECT_EQ(results[2].code(), 0);
  EXPECT_TRUE(Join().ok());
  EXPECT_FALSE(summary_.all_ok());
}

TEST_F(PushStreamTest, NoInputIsNoError) {
  Start(Echo);
  CloseInput();
  EXPECT_TRUE(Join().ok());
  EXPECT_TRUE(summary_.all_ok());
}

TEST_F(PushStreamTest, ALineIsSentThoughTheBatchIsNotFull) {
  Start(Echo);
  Type(std::string(kLine) + "\n");
  EXPECT_EQ(ReadResults(1).size(), 1U);  // with the input still open
  Type(R"({"deliver")");                 // half a line holds nothing back
  Type(std::string(R"(:{}})") + "\n" + kLine + "\n");
  EXPECT_EQ(ReadResults(2).size(), 2U);
  CloseInput();
  EXPECT_TRUE(Join().ok());
}

TEST_F(PushStreamTest, CommandsDoNotWaitForResults) {
  constexpr int kCommands = 1000;
  std::atomic<int> biggest = 0;
  Start([&](ServerStream& stream) {
    v1::PushRequest request;
    v1::PushResponse response;
    while (response.results_size() < kCommands && stream.Read(&request)) {
      biggest = std::max(biggest.load(), request.commands_size());
      for (const v1::Command& command : request.commands()) {
        response.add_results()->set_seq(command.seq());
      }
    }
    stream.Write(response);
    return Echo(stream);
  });
  std::string lines;
  for (int i = 0; i < kCommands; ++i) lines += std::string(kLine) + "\n";
  std::thread typing([&] { Type(lines); });
  const auto results = ReadResults(kCommands);
  typing.join();
  ASSERT_EQ(results.size(), static_cast<std::size_t>(kCommands));
  for (int i = 0; i < kCommands; ++i)
    EXPECT_EQ(results[i].seq(), static_cast<std::uint64_t>(i) + 1);
  EXPECT_EQ(biggest, 64);
  CloseInput();
  EXPECT_TRUE(Join().ok());
  EXPECT_TRUE(summary_.all_ok());
}

TEST_F(PushStreamTest, OpenComesFirstAndOnce) {
  std::vector<v1::PushRequest> requests;
  Start(
      [&](ServerStream& stream) {
        v1::PushRequest request;
        while (stream.Read(&request)) {
          v1::PushResponse response;
          if (request.has_open()) response.mutable_opened()->set_last_seq(17);
          for (const v1::Command& command : request.commands())
            response.add_results()->set_seq(command.seq());
          stream.Write(response);
          requests.push_back(request);
        }
        return grpc::Status::OK;
      },
      {.producer_id = "p", .default_report = v1::REPORT_LEVEL_WRITTEN, .batch = 1});
  Type(std::string(kLine) + "\n" + kLine + "\n");
  CloseInput();
  EXPECT_TRUE(Join().ok());
  std::vector<std::uint64_t> seqs;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(requests[i].has_open(), i == 0);
    EXPECT_LE(requests[i].commands_size(), 1);
    for (const v1::Command& command : requests[i].commands()) seqs.push_back(command.seq());
  }
  EXPECT_THAT(seqs, testing::ElementsAre(1, 2));
  EXPECT_EQ(requests.at(0).open().producer_id(), "p");
  EXPECT_EQ(requests[0].open().default_report(), v1::REPORT_LEVEL_WRITTEN);
  EXPECT_EQ(summary_.last_seq, 17U);
}

TEST_F(PushStreamTest, BigCommandsMakeSmallBatches) {
  std::atomic<std::size_t> biggest = 0;
  Start([&](ServerStream& stream) {
    v1::PushRequest request;
    v1::PushResponse response;
    while (stream.Read(&request)) {
      biggest = std::max(biggest.load(), request.ByteSizeLong());
      for (const v1::Command& command : request.commands()) {
        response.add_results()->set_seq(command.seq());
      }
    }
    stream.Write(response);
    return grpc::Status::OK;
  });
  const std::string line = R"({"deliver":{"target":{"all":true},"message":{"payload":")" +
                           std::string(80'000, 'A') + "\"}}}\n";
  std::thread typing([&] {
    for (int i = 0; i < 50; ++i) Type(line);
    CloseInput();
  });
  EXPECT_EQ(ReadResults(50).size(), 50U);
  typing.join();
  EXPECT_TRUE(Join().ok());
  EXPECT_LE(biggest, std::size_t{600} << 10);
}

// A server that stops reading must stop us from reading: what has been taken from the input stays
// small.
TEST_F(PushStreamTest, AServerThatDoesNotReadStopsTheInput) {
  std::promise<void> go;
  StartOverTcp([&](ServerStream& stream) {
    go.get_future().wait();
    return Echo(stream);
  });
  constexpr std::size_t kLines = 20'000;  // 80 MB
  const std::string line = R"({"deliver":{"target":{"all":true},"message":{"payload":")" +
                           std::string(4000, 'A') + "\"}}}\n";
  std::atomic<std::size_t> taken = 0;
  std::thread typing([&] {
    for (std::size_t i = 0; i < kLines; ++i) {
      Type(line);
      taken += line.size();
    }
    CloseInput();
  });
  // Quiet for half a second: it has stopped. (Without a bound it would go on to the end, and the
  // test would see that.)
  std::size_t before = 1;
  for (int quiet = 0; quiet < 10;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    quiet = taken == before && taken > 0 ? quiet + 1 : 0;
    before = taken;
  }
  EXPECT_LT(taken, std::size_t{16} << 20);  // gRPC's flow control window may grow to 4 MiB
  go.set_value();
  const auto results = ReadResults(kLines);
  typing.join();
  ASSERT_EQ(results.size(), kLines);
  EXPECT_EQ(results.back().seq(), kLines);
  EXPECT_TRUE(Join().ok());
  EXPECT_TRUE(summary_.all_ok());
}

TEST_F(PushStreamTest, TheRateIsKept) {
  PushStreamOptions options;
  options.rate = 200;
  Start(Echo, options);
  std::string lines;
  for (int i = 0; i < 41; ++i) lines += std::string(kLine) + "\n";
  const auto start = std::chrono::steady_clock::now();
  Type(lines);
  CloseInput();
  EXPECT_EQ(ReadResults(100).size(), 41U);
  // 40 intervals of 5 ms, less the tick that may come early. How much longer is the machine's
  // business.
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(185));
  EXPECT_TRUE(Join().ok());
}

TEST_F(PushStreamTest, ReceiptsAreLinesToo) {
  Start([](ServerStream& stream) {
    v1::PushRequest request;
    stream.Read(&request);
    v1::PushResponse response;
    response.add_results()->set_seq(1);
    v1::Receipt& receipt = *response.add_receipts();
    receipt.set_seq(1);
    receipt.set_final(true);
    stream.Write(response);
    return Echo(stream);
  });
  Type(
      R"({"deliver":{"target":{"all":true},"message":{"payload":"aGk="},"report":"REPORT_LEVEL_WRITTEN"}})"
      "\n");
  CloseInput();
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = read(out_[0], buffer, sizeof(buffer))) > 0;) {
    text.append(buffer, static_cast<std::size_t>(n));
  }
  EXPECT_THAT(text, testing::HasSubstr(R"("code":0)"));
  EXPECT_THAT(text, testing::HasSubstr(R"("final":true)"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  EXPECT_TRUE(Join().ok());
  EXPECT_EQ(summary_.receipts, 1U);
}

}  // namespace
}  // namespace herald::cli
