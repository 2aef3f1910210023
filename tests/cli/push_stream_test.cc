#include "cli/push_stream.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <functional>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "herald/v1/push_service.grpc.pb.h"

namespace herald::cli {
namespace {

using ServerStream = grpc::ServerReaderWriter<v1::PushResponse, v1::PushRequest>;
using Handler = std::function<grpc::Status(ServerStream&)>;

constexpr auto kDeadline = std::chrono::seconds(20);
constexpr char kLine[] = R"({"deliver":{"target":{"all":true},"message":{"payload":"aGk="}}})";

class FakePush : public v1::PushService::Service {
 public:
  explicit FakePush(Handler handler) : handler_(std::move(handler)) {}
  grpc::Status Push(grpc::ServerContext*, ServerStream* stream) override {
    return handler_(*stream);
  }

 private:
  Handler handler_;
};

// One `heraldctl stream` between two pipes, and the server it talks to.
class PushStreamTest : public testing::Test {
 protected:
  PushStreamTest() {
    std::signal(SIGPIPE, SIG_IGN);
    EXPECT_EQ(pipe2(in_, O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(out_, O_CLOEXEC), 0);
  }
  ~PushStreamTest() override {
    CloseInput();
    CloseOutput();
    if (running_.valid()) running_.wait();
  }

  void Start(Handler handler, PushStreamOptions options = {}) {
    service_ = std::make_unique<FakePush>(std::move(handler));
    server_ = grpc::ServerBuilder().RegisterService(service_.get()).BuildAndStart();
    Run(server_->InProcessChannel({}), options);
  }
  void StartOverTcp(Handler handler) {
    service_ = std::make_unique<FakePush>(std::move(handler));
    int port = 0;
    server_ = grpc::ServerBuilder()
                  .AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port)
                  .RegisterService(service_.get())
                  .BuildAndStart();
    ASSERT_GT(port, 0);
    Run(grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                            grpc::InsecureChannelCredentials()),
        {});
  }

  void Run(const std::shared_ptr<grpc::Channel>& channel, const PushStreamOptions& options) {
    running_ = std::async(std::launch::async, [this, channel, options] {
      auto status = RunPushStream(channel, in_[0], out_[1], options, summary_);
      close(out_[1]);
      return status;
    });
  }

  void Type(std::string_view text) {
    ASSERT_EQ(write(in_[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void CloseInput() {
    if (in_[1] >= 0) close(in_[1]);
    in_[1] = -1;
  }
  void CloseOutput() {
    if (out_[0] >= 0) close(out_[0]);
    out_[0] = -1;
  }
  // Results until `count` lines have come, or the end.
  std::vector<v1::CommandResult> ReadResults(std::size_t count) {
    std::vector<v1::CommandResult> results;
    char buffer[65536];
    while (results.size() < count) {
      std::size_t newline = output_.find('\n');
      if (newline == std::string::npos) {
        const ssize_t n = read(out_[0], buffer, sizeof(buffer));
        if (n <= 0) break;
        output_.append(buffer, static_cast<std::size_t>(n));
        continue;
      }
      v1::CommandResult result;
      const auto status =
          google::protobuf::util::JsonStringToMessage(output_.substr(0, newline), &result);
      EXPECT_TRUE(status.ok()) << output_.substr(0, newline);
      results.push_back(result);
      output_.erase(0, newline + 1);
    }
    return results;
  }
  absl::Status Join() {
    EXPECT_EQ(running_.wait_for(kDeadline), std::future_status::ready);
    return running_.get();
  }

  int in_[2] = {-1, -1};
  int out_[2] = {-1, -1};
  PushStreamSummary summary_;

 private:
  std::unique_ptr<FakePush> service_;
  std::unique_ptr<grpc::Server> server_;
  std::future<absl::Status> running_;
  std::string output_;
};

// Answers each command at once; code 5 for those without a deliver.
grpc::Status Echo(ServerStream& stream) {
  v1::PushRequest request;
  while (stream.Read(&request)) {
    v1::PushResponse response;
    for (const v1::Command& command : request.commands()) {
      v1::CommandResult& result = *response.add_results();
      result.set_seq(command.seq());
      result.set_code(command.has_deliver() ? 0 : 5);
    }
    stream.Write(response);
  }
  return grpc::Status::OK;
}

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
