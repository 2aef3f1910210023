#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "bench/publisher.h"
#include "herald/v1/push_service.grpc.pb.h"

namespace herald::bench {

// One Push stream to Herald. Checks that each command gets its result, and each receipt is whole.
//
// Threads: Write and Publish from one; what is counted may be read from any.
class PushPublisher final : public Publisher {
 public:
  struct Options {
    std::string topic;  // of Publish
    v1::ReportLevel report = v1::REPORT_LEVEL_UNSPECIFIED;
    // Commands that may be without a result before Write waits.
    std::uint64_t max_unanswered = 4096;
    bool echo = false;  // the server is an echo: its answers are not for these commands
  };
  static absl::StatusOr<std::unique_ptr<PushPublisher>> Open(const std::string& address,
                                                             Options options);
  ~PushPublisher() override;

  // `request`'s commands get their seq here. Those that ask for a report are awaited with it.
  absl::Status Write(v1::PushRequest& request);
  absl::Status Publish(std::span<const std::string> payloads) override;
  // Waits until all commands have their results and receipts.
  absl::Status AwaitAll(absl::Duration timeout);

  std::uint64_t results() const { return results_.load(std::memory_order_acquire); }
  std::uint64_t receipts() const { return receipts_.load(std::memory_order_acquire); }
  // Sums over all receipts.
  std::uint64_t matched() const { return matched_.load(std::memory_order_relaxed); }
  std::uint64_t written() const { return written_.load(std::memory_order_relaxed); }
  std::uint64_t acked() const { return acked_.load(std::memory_order_relaxed); }
  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  explicit PushPublisher(Options options) : options_(std::move(options)) {}
  void ReadAll();

  const Options options_;
  std::unique_ptr<v1::PushService::Stub> service_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::PushRequest, v1::PushResponse>> stream_;
  v1::PushRequest burst_;  // of Publish
  std::uint64_t sent_ = 0;
  std::uint64_t reports_ = 0;
  std::atomic<std::uint64_t> results_{0}, receipts_{0};
  std::atomic<std::uint64_t> matched_{0}, written_{0}, acked_{0}, dropped_{0};
  std::mutex mutex_;
  std::string error_;  // the first
  std::atomic<bool> failed_{false};
  std::thread reader_;
};

}  // namespace herald::bench
