#include "bench/push_publisher.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include "absl/time/clock.h"
#include "fmt/format.h"

namespace herald::bench {

absl::StatusOr<std::unique_ptr<PushPublisher>> PushPublisher::Open(const std::string& address,
                                                                   Options options) {
  std::unique_ptr<PushPublisher> publisher(new PushPublisher(std::move(options)));
  const auto channel = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  publisher->service_ = v1::PushService::NewStub(channel);
  publisher->context_.set_wait_for_ready(true);
  publisher->stream_ = publisher->service_->Push(&publisher->context_);
  publisher->reader_ = std::thread([raw = publisher.get()] { raw->ReadAll(); });
  return publisher;
}

PushPublisher::~PushPublisher() {
  stream_->WritesDone();
  const absl::Time deadline = absl::Now() + absl::Seconds(5);
  while (!failed_ && absl::Now() < deadline && results() < sent_)
    absl::SleepFor(absl::Milliseconds(1));
  context_.TryCancel();
  reader_.join();
  stream_->Finish();
}

void PushPublisher::ReadAll() {
  v1::PushResponse response;
  std::string error;
  while (stream_->Read(&response)) {
    for (const v1::CommandResult& result : response.results()) {
      if (result.code() != 0 && !options_.echo && error.empty())
        error = fmt::format("command {}: {}", result.seq(), result.detail());
    }
    for (const v1::Receipt& receipt : response.receipts()) {
      matched_ += receipt.matched();
      written_ += receipt.written();
      acked_ += receipt.acked();
      for (const auto& [reason, count] : receipt.dropped()) dropped_ += count;
    }
    if (!error.empty() && !failed_) {
      const std::lock_guard lock(mutex_);
      error_ = error;
      failed_ = true;
    }
    receipts_.fetch_add(static_cast<std::uint64_t>(response.receipts_size()),
                        std::memory_order_release);
    results_.fetch_add(static_cast<std::uint64_t>(response.results_size()),
                       std::memory_order_release);
    results_.notify_all();
  }
  const std::lock_guard lock(mutex_);
  if (error_.empty()) error_ = "the Push stream ended";
  failed_ = true;
  results_.notify_all();
}

absl::Status PushPublisher::Write(v1::PushRequest& request) {
  for (v1::Command& command : *request.mutable_commands()) {
    command.set_seq(++sent_);
    if (command.deliver().report() > v1::REPORT_LEVEL_ACCEPTED) ++reports_;
  }
  for (;;) {
    const std::uint64_t results = this->results();
    if (failed_ || sent_ - results <= options_.max_unanswered) break;
    results_.wait(results);
  }
  if (!failed_ && stream_->Write(request)) return absl::OkStatus();
  const std::lock_guard lock(mutex_);
  return absl::UnavailableError(error_.empty() ? "the Push stream broke" : error_);
}

absl::Status PushPublisher::Publish(std::span<const std::string> payloads) {
  burst_.mutable_commands()->Clear();
  for (const std::string& payload : payloads) {
    v1::Deliver& deliver = *burst_.add_commands()->mutable_deliver();
    deliver.mutable_target()->set_topic(options_.topic);
    deliver.mutable_message()->set_payload(payload);
    deliver.set_report(options_.report);
  }
  return Write(burst_);
}

absl::Status PushPublisher::AwaitAll(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (results() < sent_ || receipts() < reports_) {
    if (failed_) {
      const std::lock_guard lock(mutex_);
      return absl::UnavailableError(error_);
    }
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(fmt::format("{} of {} results, {} of {} receipts",
                                                     results(), sent_, receipts(), reports_));
    }
    absl::SleepFor(absl::Milliseconds(1));
  }
  return absl::OkStatus();
}

}  // namespace herald::bench
