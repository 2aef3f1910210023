#include "service/admin_service.h"

#include "service/call_context.h"
#include "service/convert.h"
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
  questions_.GetInfo([reactor, response](absl::StatusOr<v1::GetInfoResponse> info) {
    if (info.ok()) *response = *std::move(info);
    reactor->Finish(ToGrpc(info.status()));
  });
  return reactor;
}

grpc::ServerUnaryReactor* AdminService::Drain(grpc::CallbackServerContext* context,
                                              const v1::DrainRequest* request,
                                              v1::DrainResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const absl::Duration over = ToDuration(request->over());
  if (auto producer = auth_.Check(Metadata(*context, "authorization")); !producer.ok()) {
    reactor->Finish(ToGrpc(producer.status()));
  } else if (over < absl::ZeroDuration() || over > absl::Hours(1)) {
    reactor->Finish({grpc::INVALID_ARGUMENT, "over must be 0 to 1 hour"});
  } else {
    response->set_sessions(actions_.drain(
        over == absl::ZeroDuration() ? std::nullopt : std::optional<absl::Duration>(over)));
    reactor->Finish(grpc::Status::OK);
  }
  return reactor;
}

grpc::ServerUnaryReactor* AdminService::Reload(grpc::CallbackServerContext* context,
                                               const v1::ReloadRequest*,
                                               v1::ReloadResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (auto producer = auth_.Check(Metadata(*context, "authorization")); !producer.ok()) {
    reactor->Finish(ToGrpc(producer.status()));
    return reactor;
  }
  actions_.reload([reactor, response](const absl::StatusOr<AdminActions::Reloaded>& reloaded) {
    if (!reloaded.ok()) {
      reactor->Finish({grpc::FAILED_PRECONDITION, std::string(reloaded.status().message())});
      return;
    }
    response->mutable_changed()->Assign(reloaded->changed.begin(), reloaded->changed.end());
    response->mutable_needs_restart()->Assign(reloaded->needs_restart.begin(),
                                              reloaded->needs_restart.end());
    reactor->Finish(grpc::Status::OK);
  });
  return reactor;
}

}  // namespace herald
