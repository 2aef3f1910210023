#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "herald/v1/admin_service.grpc.pb.h"
#include "service/executor.h"
#include "service/producer_auth.h"
#include "service/questions.h"

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
};

// `AdminService` over gRPC.
//
// Threads:   gRPC's; the actions are called there too.
class AdminService final : public v1::AdminService::CallbackService {
 public:
  AdminService(Questions& questions, const ProducerAuth& auth, AdminActions actions)
      : questions_(questions), auth_(auth), actions_(std::move(actions)) {}

  grpc::ServerUnaryReactor* GetInfo(grpc::CallbackServerContext* context,
                                    const v1::GetInfoRequest* request,
                                    v1::GetInfoResponse* response) override;
  grpc::ServerUnaryReactor* Drain(grpc::CallbackServerContext* context,
                                  const v1::DrainRequest* request,
                                  v1::DrainResponse* response) override;
  grpc::ServerUnaryReactor* Reload(grpc::CallbackServerContext* context,
                                   const v1::ReloadRequest* request,
                                   v1::ReloadResponse* response) override;

 private:
  Questions& questions_;
  const ProducerAuth& auth_;
  const AdminActions actions_;
};

}  // namespace herald
