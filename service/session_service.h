#pragma once

#include "broker/broker.h"
#include "herald/v1/session_service.grpc.pb.h"
#include "service/command_runner.h"
#include "service/executor.h"
#include "service/producer_auth.h"
#include "service/questions.h"
#include "session/session_table.h"

namespace herald {

// `SessionService` over gRPC. Questions are posted to the shards and answered from the executor;
// changes run as the Push commands of the same name.
//
// Threads:   gRPC's. Outlives the server's Shutdown.
class SessionService final : public v1::SessionService::CallbackService {
 public:
  SessionService(CommandRunner& runner, Questions& questions, Broker& broker, Executor& executor,
                 const ProducerAuth& auth)
      : runner_(runner), questions_(questions), broker_(broker), executor_(executor), auth_(auth) {}

  using Context = grpc::CallbackServerContext;
  using Reactor = grpc::ServerUnaryReactor;
  Reactor* ListSessions(Context*, const v1::ListSessionsRequest*,
                        v1::ListSessionsResponse*) override;
  Reactor* GetSession(Context*, const v1::GetSessionRequest*, v1::GetSessionResponse*) override;
  Reactor* Join(Context*, const v1::JoinRequest*, v1::JoinResponse*) override;
  Reactor* Leave(Context*, const v1::LeaveRequest*, v1::LeaveResponse*) override;
  Reactor* SetLabels(Context*, const v1::SetLabelsRequest*, v1::SetLabelsResponse*) override;
  Reactor* Disconnect(Context*, const v1::DisconnectRequest*, v1::DisconnectResponse*) override;
  Reactor* GetPresence(Context*, const v1::GetPresenceRequest*, v1::GetPresenceResponse*) override;
  Reactor* GetHistory(Context*, const v1::GetHistoryRequest*, v1::GetHistoryResponse*) override;

 private:
  // The reactor of an admitted call, or null and `refused` already finished.
  Reactor* Begin(Context* context, Reactor** refused);
  template <typename Request, typename Response>
  Reactor* Answer(Context* context, const Request* request, Response* response,
                  void (Questions::*ask)(const Request&, Questions::Done<Response>));
  template <typename Response>
  Reactor* RunCommand(Context* context, const v1::Command& command, Response* response);

  CommandRunner& runner_;
  Questions& questions_;
  Broker& broker_;
  Executor& executor_;
  const ProducerAuth& auth_;
};

}  // namespace herald
