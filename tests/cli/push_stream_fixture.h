// What the tests of RunPushStream share.
#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "cli/push_stream.h"
#include "herald/v1/push_service.grpc.pb.h"

namespace herald::cli {

using ServerStream = grpc::ServerReaderWriter<v1::PushResponse, v1::PushRequest>;
using Handler = std::function<grpc::Status(ServerStream&)>;

inline constexpr auto kDeadline = std::chrono::seconds(20);
inline constexpr char kLine[] =
    R"({"deliver":{"target":{"all":true},"message":{"payload":"aGk="}}})";

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
      auto status = RunPushStream({channel}, in_[0], out_[1], options, summary_);
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
inline grpc::Status Echo(ServerStream& stream) {
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

}  // namespace herald::cli
