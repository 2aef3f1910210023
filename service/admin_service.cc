#include "service/admin_service.h"

#include "fmt/format.h"
#include "service/call_context.h"
#include "service/convert.h"

namespace herald {

void AdminService::Serve(CallQueue& queue, const CallGate& gate) {
  ServeUnary(methods_["GetInfo"], queue, gate, *this, &AdminService::GetInfo);
  ServeUnary(methods_["Drain"], queue, gate, *this, &AdminService::Drain);
  ServeUnary(methods_["Reload"], queue, gate, *this, &AdminService::Reload);
}

void AdminService::GetInfo(UnaryCall<v1::GetInfoRequest, v1::GetInfoResponse>& call) {
  const std::optional<ProducerGate> producer = Admit(call);
  if (!producer) return;
  // Its totals count what is not for a producer with patterns.
  const ProducerRights* const rights = producer->rights();
  if (rights != nullptr && !rights->May(Right::kOperate) &&
      !(rights->May(Right::kQuery) && rights->SeesEverything())) {
    return call.Finish(ToGrpc(producer->Refuse(
        {Right::kOperate, fmt::format("producer \"{}\" may not ask for totals: may lacks operate "
                                      "(or query, with \"**\" in users and in topics)",
                                      rights->name)})));
  }
  questions_.GetInfo([&call](absl::StatusOr<v1::GetInfoResponse> info) {
    if (info.ok()) call.response() = *std::move(info);
    call.Finish(ToGrpc(info.status()));
  });
}

void AdminService::Drain(UnaryCall<v1::DrainRequest, v1::DrainResponse>& call) {
  const std::optional<ProducerGate> producer = Admit(call, Right::kOperate);
  if (!producer) return;
  const absl::Duration over = ToDuration(call.request().over());
  if (over < absl::ZeroDuration() || over > absl::Hours(1))
    return call.Finish({grpc::INVALID_ARGUMENT, "over must be 0 to 1 hour"});
  actions_.audit(producer->name(), call.context().peer(), "drain");
  call.response().set_sessions(actions_.drain(
      over == absl::ZeroDuration() ? std::nullopt : std::optional<absl::Duration>(over)));
  call.Finish(grpc::Status::OK);
}

void AdminService::Reload(UnaryCall<v1::ReloadRequest, v1::ReloadResponse>& call) {
  const std::optional<ProducerGate> producer = Admit(call, Right::kOperate);
  if (!producer) return;
  actions_.audit(producer->name(), call.context().peer(), "reload");
  actions_.reload([&call](const absl::StatusOr<AdminActions::Reloaded>& reloaded) {
    if (!reloaded.ok()) {
      return call.Finish({grpc::FAILED_PRECONDITION, std::string(reloaded.status().message())});
    }
    call.response().mutable_changed()->Assign(reloaded->changed.begin(), reloaded->changed.end());
    call.response().mutable_needs_restart()->Assign(reloaded->needs_restart.begin(),
                                                    reloaded->needs_restart.end());
    call.Finish(grpc::Status::OK);
  });
}

}  // namespace herald
