#pragma once

#include "broker/broker.h"
#include "herald/v1/session_service.pb.h"
#include "service/bounded_work.h"
#include "service/command_runner.h"
#include "service/executor.h"
#include "service/producer_gate.h"
#include "service/questions.h"
#include "service/rpc/unary_call.h"
#include "session/session_table.h"

namespace herald {

// `SessionService` over gRPC. Questions are posted to the shards and answered from the executor;
// changes run as the Push commands of the same name.
//
// Rights:    a question needs `query` and shows what the patterns of the producer allow: naming a
//            topic or user outside is kPermissionDenied, everything else outside does not exist.
//
// Memory:    of an answer counts in CallMemory before the answer is made.
// Threads:   those of calls (service/rpc/call_threads.h). Outlives them.
class SessionService final {
 public:
  // Histories that are read at a time. A read may hold all of a topic's messages until it is answered.
  static constexpr std::size_t kHistoryReads = 8;
  // Of one answer of GetHistory, so that it fits into the 4 MiB that gRPC's clients take by default.
  static constexpr std::size_t kMaxHistoryBytes = 3u << 20;

  SessionService(CommandRunner& runner, Questions& questions, Broker& broker, Executor& executor)
      : runner_(runner), questions_(questions), broker_(broker), executor_(executor) {}

  // What is registered with the server to be built.
  grpc::Service* methods() { return &methods_; }
  // Handles the calls that arrive at `queue` and that `gate` admits; once the server has been built.
  void Serve(CallQueue& queue, const CallGate& gate);

 private:
  void ListSessions(UnaryCall<v1::ListSessionsRequest, v1::ListSessionsResponse>& call);
  void GetSession(UnaryCall<v1::GetSessionRequest, v1::GetSessionResponse>& call);
  void Join(UnaryCall<v1::JoinRequest, v1::JoinResponse>& call);
  void Leave(UnaryCall<v1::LeaveRequest, v1::LeaveResponse>& call);
  void SetLabels(UnaryCall<v1::SetLabelsRequest, v1::SetLabelsResponse>& call);
  void Disconnect(UnaryCall<v1::DisconnectRequest, v1::DisconnectResponse>& call);
  void GetPresence(UnaryCall<v1::GetPresenceRequest, v1::GetPresenceResponse>& call);
  void GetHistory(UnaryCall<v1::GetHistoryRequest, v1::GetHistoryResponse>& call);
  void AnswerHistory(UnaryCall<v1::GetHistoryRequest, v1::GetHistoryResponse>& call,
                     const std::string& topic, const Broker::ReadResult& result);

  template <typename Request, typename Response>
  void Answer(UnaryCall<Request, Response>& call, const ProducerGate& producer,
              void (Questions::*ask)(const Request&, const ReachPtr&, Questions::Done<Response>));
  template <typename Request, typename Response>
  void RunCommand(UnaryCall<Request, Response>& call, const v1::Command& command);

  Methods methods_{"herald.v1.SessionService"};
  CommandRunner& runner_;
  Questions& questions_;
  Broker& broker_;
  Executor& executor_;
  BoundedWork history_reads_{kHistoryReads};
};

}  // namespace herald
