#pragma once

#include "herald/v1/admin_service.grpc.pb.h"
#include "service/executor.h"
#include "service/node_stats.h"
#include "service/producer_auth.h"

namespace herald {

// `AdminService` over gRPC. Drain and Reload are not built yet and answer UNIMPLEMENTED (the
// generated base does that).
class AdminService final : public v1::AdminService::CallbackService {
 public:
  AdminService(const NodeStats& stats, std::string broker, const ProducerAuth& auth)
      : stats_(stats), broker_(std::move(broker)), auth_(auth) {}

  grpc::ServerUnaryReactor* GetInfo(grpc::CallbackServerContext* context,
                                    const v1::GetInfoRequest* request,
                                    v1::GetInfoResponse* response) override;

 private:
  const NodeStats& stats_;
  const std::string broker_;
  const ProducerAuth& auth_;
};

}  // namespace herald
