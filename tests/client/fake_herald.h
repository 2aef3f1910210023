#pragma once

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "herald/v1/push_service.grpc.pb.h"

namespace herald {

// A server that speaks the protocol, keeps what was carried out by seq as Herald does, and breaks
// its streams where a test wants it.
class FakeHerald final : public v1::PushService::Service {
 public:
  using ServerStream = grpc::ServerReaderWriter<v1::PushResponse, v1::PushRequest>;

  // What becomes of one stream; the default is none of it.
  struct Plan {
    // The stream ends with `status` …
    std::optional<grpc::Status> refused;    // at once
    std::optional<std::size_t> cut_before;  // when so many commands were carried out, the next not
    std::optional<std::size_t> cut_after;   // when so many were, and the last has no result
    grpc::Status status{grpc::StatusCode::UNAVAILABLE, "cut"};
    bool mute = false;  // nothing is answered
    // When so many commands were carried out the producer is told to move; the stream goes on.
    std::optional<std::size_t> move_after;
    bool late_receipts = false;  // they come when the producer has half-closed
  };
  // Called for each stream, from 0.
  using Planner = std::function<Plan(std::size_t stream)>;
  // Called for each command that is carried out: its result, but for seq.
  using Action = std::function<v1::CommandResult(const v1::Command&)>;

  explicit FakeHerald(Planner planner = nullptr);  // none: all streams whole
  ~FakeHerald() override;

  std::shared_ptr<grpc::Channel> Channel() const;
  void set_action(Action action) { action_ = std::move(action); }
  // Receipts follow the results of commands that ask for WRITTEN; `before`: they come first.
  void set_receipts(bool before) { receipts_before_ = before; }
  // While held, requests are read no further.
  void Hold();
  void Release();

  std::size_t streams() const;
  // The seqs carried out, in order; repeats are not among them.
  std::vector<std::uint64_t> carried_out() const;
  std::vector<v1::PushRequest> requests() const;
  std::string authorization() const;
  void WaitRequests(std::size_t count) const;

 private:
  grpc::Status Push(grpc::ServerContext* context, ServerStream* stream) override;

  const Planner planner_;
  Action action_;
  std::optional<bool> receipts_before_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool held_ = false;
  std::size_t streams_ = 0;
  std::string authorization_;
  std::vector<v1::PushRequest> requests_;
  std::vector<std::uint64_t> carried_out_;
  std::map<std::string, std::map<std::uint64_t, v1::CommandResult>> known_;  // by producer id
};

}  // namespace herald
