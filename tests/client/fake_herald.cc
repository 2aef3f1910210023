#include "tests/client/fake_herald.h"

#include <gtest/gtest.h>

#include <chrono>

#include "client/producer.h"

namespace herald {

FakeHerald::FakeHerald(Planner planner) : planner_(std::move(planner)) {
  server_ = grpc::ServerBuilder()
                .AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_)
                .RegisterService(this)
                .BuildAndStart();
}

FakeHerald::~FakeHerald() {
  Release();
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
}

std::shared_ptr<grpc::Channel> FakeHerald::Channel() const {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return MakeProducerChannel("127.0.0.1:" + std::to_string(port_),
                             grpc::InsecureChannelCredentials(), arguments);
}

void FakeHerald::Hold() {
  const std::lock_guard lock(mutex_);
  held_ = true;
}

void FakeHerald::Release() {
  const std::lock_guard lock(mutex_);
  held_ = false;
  changed_.notify_all();
}

std::size_t FakeHerald::streams() const {
  const std::lock_guard lock(mutex_);
  return streams_;
}

std::vector<std::uint64_t> FakeHerald::carried_out() const {
  const std::lock_guard lock(mutex_);
  return carried_out_;
}

std::vector<v1::PushRequest> FakeHerald::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

std::string FakeHerald::authorization() const {
  const std::lock_guard lock(mutex_);
  return authorization_;
}

void FakeHerald::WaitRequests(std::size_t count) const {
  std::unique_lock lock(mutex_);
  EXPECT_TRUE(
      changed_.wait_for(lock, std::chrono::seconds(20), [&] { return requests_.size() >= count; }));
}

grpc::Status FakeHerald::Push(grpc::ServerContext* context, ServerStream* stream) {
  Plan plan;
  {
    const std::lock_guard lock(mutex_);
    if (planner_) plan = planner_(streams_);
    ++streams_;
    const auto found = context->client_metadata().find("authorization");
    if (found != context->client_metadata().end())
      authorization_ = {found->second.data(), found->second.size()};
  }
  if (plan.refused) return *plan.refused;
  std::size_t done = 0;
  std::string producer_id;
  bool end_at_unavailable = false;
  v1::PushResponse at_the_end;
  v1::PushRequest request;
  while (stream->Read(&request)) {
    std::unique_lock lock(mutex_);
    requests_.push_back(request);
    changed_.notify_all();
    changed_.wait(lock, [&] { return !held_; });
    v1::PushResponse response;
    if (request.has_open()) {
      producer_id = request.open().producer_id();
      end_at_unavailable = request.open().end_at_unavailable();
      const auto& known = known_[producer_id];
      response.mutable_opened()->set_last_seq(known.empty() ? 0 : known.rbegin()->first);
    }
    bool unavailable = false;
    for (const v1::Command& command : request.commands()) {
      if (unavailable) break;
      if (done == plan.cut_before) return plan.status;
      ++done;
      v1::CommandResult& result = *response.add_results();
      auto& known = known_[producer_id];
      const auto first = known.find(command.seq());
      if (first != known.end()) {
        result = first->second;
        result.set_duplicate(true);
      } else {
        carried_out_.push_back(command.seq());
        if (action_) result = action_(command);
        result.set_seq(command.seq());
        unavailable = end_at_unavailable && result.code() == grpc::StatusCode::UNAVAILABLE;
        if (!producer_id.empty() && result.code() == 0) known[command.seq()] = result;
        if (receipts_before_ && command.deliver().report() == v1::REPORT_LEVEL_WRITTEN &&
            result.code() == 0) {
          v1::Receipt& receipt = *(plan.late_receipts ? at_the_end : response).add_receipts();
          receipt.set_seq(command.seq());
          receipt.set_written(7);
          receipt.set_final(true);
        }
      }
      if (done == plan.cut_after) return plan.status;
      if (done == plan.move_after) response.mutable_moving()->set_reason("the test says so");
    }
    lock.unlock();
    if (plan.mute) continue;
    if (receipts_before_ == true) {
      v1::PushResponse first;
      first.mutable_receipts()->Swap(response.mutable_receipts());
      stream->Write(first);
    }
    stream->Write(response);
    if (unavailable) return {grpc::StatusCode::UNAVAILABLE, "a command was unavailable"};
  }
  if (!at_the_end.receipts().empty()) stream->Write(at_the_end);
  return grpc::Status::OK;
}

}  // namespace herald
