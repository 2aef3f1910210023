#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "herald/v1/admin_service.pb.h"
#include "service/questions.h"
#include "service/rpc/unary_call.h"

namespace herald {

// What operators may order; the application carries it out.
struct AdminActions {
  // Begins the orderly end, over so long or (without a value) as configured. How many sessions there
  // are.
  std::function<std::uint64_t(std::optional<absl::Duration>)> drain;

  struct Reloaded {
    std::vector<std::string> changed;
    std::vector<std::string> needs_restart;
  };
  using OnReloaded = std::function<void(const absl::StatusOr<Reloaded>&)>;
  // Reads the configuration again and answers, maybe on another thread.
  std::function<void(OnReloaded)> reload;
  // Says in the log who used the right `operate`. `producer` is empty where callers have no name.
  std::function<void(std::string_view producer, std::string_view peer, std::string_view action)>
      audit;
};

// `AdminService` over gRPC. Drain and Reload need the right `operate`, and each use is audited.
//
// Threads:   those of calls (service/rpc/call_threads.h); the actions are called there too.
class AdminService final {
 public:
  AdminService(Questions& questions, AdminActions actions)
      : questions_(questions), actions_(std::move(actions)) {}

  // What is registered with the server to be built.
  grpc::Service* methods() { return &methods_; }
  // Handles the calls that arrive at `queue` and that `gate` admits; once the server has been built.
  void Serve(CallQueue& queue, const CallGate& gate);

 private:
  void GetInfo(UnaryCall<v1::GetInfoRequest, v1::GetInfoResponse>& call);
  void Drain(UnaryCall<v1::DrainRequest, v1::DrainResponse>& call);
  void Reload(UnaryCall<v1::ReloadRequest, v1::ReloadResponse>& call);

  Methods methods_{"herald.v1.AdminService"};
  Questions& questions_;
  const AdminActions actions_;
};

}  // namespace herald
