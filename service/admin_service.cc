#include "service/admin_service.h"

#include "absl/time/clock.h"
#include "service/call_context.h"
#include "service/status.h"

namespace herald {

grpc::ServerUnaryReactor* AdminService::GetInfo(grpc::CallbackServerContext* context,
                                                const v1::GetInfoRequest*,
                                                v1::GetInfoResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (auto producer = auth_.Check(Metadata(*context, "authorization")); !producer.ok()) {
    reactor->Finish(ToGrpc(producer.status()));
    return reactor;
  }
  v1::NodeInfo info = stats_.Describe(absl::Now());
  response->set_node(info.node());
  response->set_broker(broker_);
  *response->add_nodes() = std::move(info);
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

}  // namespace herald
