#include "client/producer.h"

#include <fmt/format.h>
#include <grpc/grpc.h>
#include <grpcpp/create_channel.h>

#include <random>
#include <sstream>
#include <utility>

#include "client/producer_stream.h"

namespace herald {

std::shared_ptr<grpc::Channel> MakeProducerChannel(
    const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    grpc::ChannelArguments arguments) {
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2'000);
  // Notices a server that vanished without a word; Herald allows a ping every 10 s.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetLoadBalancingPolicyName("round_robin");
  return grpc::CreateCustomChannel(address, credentials, arguments);
}

std::string MakeProducerId() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

std::vector<std::shared_ptr<grpc::ChannelInterface>> MakeProducerChannels(
    const std::string& addresses, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    const grpc::ChannelArguments& arguments) {
  std::vector<std::shared_ptr<grpc::ChannelInterface>> channels;
  std::istringstream list(addresses);
  for (std::string address; std::getline(list, address, ',');)
    channels.push_back(MakeProducerChannel(address, credentials, arguments));
  return channels;
}

Producer::Producer(const std::vector<std::shared_ptr<grpc::ChannelInterface>>& channels,
                   Options options)
    : stream_(std::make_shared<ProducerStream>(channels, std::move(options))) {
  stream_->Connect();
}

Producer::~Producer() {
  Cancel();
  stream_->Join();
}

absl::Status Producer::Send(v1::Command&& command, OnResult on_result, OnReceipt on_receipt,
                            More more) {
  return stream_->Send(std::move(command), std::move(on_result), std::move(on_receipt), more);
}

std::future<absl::StatusOr<v1::CommandResult>> Producer::SendFuture(v1::Command command) {
  const auto promise = std::make_shared<std::promise<absl::StatusOr<v1::CommandResult>>>();
  auto future = promise->get_future();
  absl::Status status =
      Send(std::move(command), [promise](absl::StatusOr<v1::CommandResult> result) {
        promise->set_value(std::move(result));
      });
  if (!status.ok()) promise->set_value(std::move(status));
  return future;
}

void Producer::Kick() { stream_->Kick(); }
absl::Status Producer::WaitForRoom(absl::Time deadline) { return stream_->WaitForRoom(deadline); }
absl::Status Producer::Flush(absl::Time deadline) { return stream_->Flush(deadline); }
absl::Status Producer::Close(absl::Time deadline) { return stream_->Close(deadline); }
void Producer::Cancel() { stream_->End(absl::CancelledError("the producer was cancelled")); }
std::size_t Producer::unanswered() const { return stream_->unanswered(); }

bool Producer::AsksReport(const v1::Command& command, v1::ReportLevel default_report) {
  if (!command.has_deliver()) return false;
  const v1::ReportLevel level = command.deliver().report();
  return (level == v1::REPORT_LEVEL_UNSPECIFIED ? default_report : level) >
         v1::REPORT_LEVEL_ACCEPTED;
}

}  // namespace herald
