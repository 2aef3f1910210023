#include "service/session_service.h"

#include "fmt/format.h"
#include "service/call_context.h"
#include "service/convert.h"
#include "service/status.h"
#include "session/topic_name.h"

namespace herald {
namespace {

absl::Status Invalid(std::string_view field, const absl::Status& why) {
  return absl::InvalidArgumentError(fmt::format("{}: {}", field, std::string(why.message())));
}

}  // namespace

void SessionService::Serve(grpc::ServerCompletionQueue& queue) {
  using Async = v1::SessionService::AsyncService;
  const auto serve = [&](auto ask, auto handle) { ServeUnary(async_, *this, queue, ask, handle); };
  serve(&Async::RequestListSessions, &SessionService::ListSessions);
  serve(&Async::RequestGetSession, &SessionService::GetSession);
  serve(&Async::RequestJoin, &SessionService::Join);
  serve(&Async::RequestLeave, &SessionService::Leave);
  serve(&Async::RequestSetLabels, &SessionService::SetLabels);
  serve(&Async::RequestDisconnect, &SessionService::Disconnect);
  serve(&Async::RequestGetPresence, &SessionService::GetPresence);
  serve(&Async::RequestGetHistory, &SessionService::GetHistory);
}

template <typename Request, typename Response>
void SessionService::Answer(UnaryCall<Request, Response>& call,
                            void (Questions::*ask)(const Request&, Questions::Done<Response>)) {
  if (!Admitted(call, auth_)) return;
  (questions_.*ask)(call.request(), [&call](absl::StatusOr<Response> answer) {
    if (answer.ok()) call.response() = *std::move(answer);
    call.Finish(ToGrpc(answer.status()));
  });
}

void SessionService::ListSessions(
    UnaryCall<v1::ListSessionsRequest, v1::ListSessionsResponse>& call) {
  Answer(call, &Questions::ListSessions);
}

void SessionService::GetSession(UnaryCall<v1::GetSessionRequest, v1::GetSessionResponse>& call) {
  Answer(call, &Questions::GetSession);
}

void SessionService::GetPresence(UnaryCall<v1::GetPresenceRequest, v1::GetPresenceResponse>& call) {
  Answer(call, &Questions::GetPresence);
}

template <typename Request, typename Response>
void SessionService::RunCommand(UnaryCall<Request, Response>& call, const v1::Command& command) {
  if (!Admitted(call, auth_)) return;
  runner_.Run(command, {}, [this, &call](v1::CommandResult result) {
    executor_.Post([&call, result = std::move(result)] {
      call.response().set_matched(result.matched());
      call.Finish({static_cast<grpc::StatusCode>(result.code()), result.detail()});
    });
  });
}

void SessionService::Join(UnaryCall<v1::JoinRequest, v1::JoinResponse>& call) {
  v1::Command command;
  *command.mutable_join()->mutable_target() = call.request().target();
  *command.mutable_join()->mutable_topics() = call.request().topics();
  RunCommand(call, command);
}

void SessionService::Leave(UnaryCall<v1::LeaveRequest, v1::LeaveResponse>& call) {
  v1::Command command;
  *command.mutable_leave()->mutable_target() = call.request().target();
  *command.mutable_leave()->mutable_topics() = call.request().topics();
  RunCommand(call, command);
}

void SessionService::SetLabels(UnaryCall<v1::SetLabelsRequest, v1::SetLabelsResponse>& call) {
  v1::Command command;
  *command.mutable_set_labels()->mutable_target() = call.request().target();
  *command.mutable_set_labels()->mutable_set() = call.request().set();
  *command.mutable_set_labels()->mutable_remove() = call.request().remove();
  RunCommand(call, command);
}

void SessionService::Disconnect(UnaryCall<v1::DisconnectRequest, v1::DisconnectResponse>& call) {
  v1::Command command;
  v1::Disconnect& disconnect = *command.mutable_disconnect();
  *disconnect.mutable_target() = call.request().target();
  disconnect.set_code(call.request().code());
  disconnect.set_reason(call.request().reason());
  disconnect.set_reconnect(call.request().reconnect());
  if (call.request().has_reconnect_delay())
    *disconnect.mutable_reconnect_delay() = call.request().reconnect_delay();
  if (call.request().has_ban_for()) *disconnect.mutable_ban_for() = call.request().ban_for();
  disconnect.set_token_id(call.request().token_id());
  RunCommand(call, command);
}

void SessionService::GetHistory(UnaryCall<v1::GetHistoryRequest, v1::GetHistoryResponse>& call) {
  if (!Admitted(call, auth_)) return;
  if (absl::Status bad = ValidateTopic(call.request().topic()); !bad.ok())
    return call.Finish(ToGrpc(Invalid("topic", bad)));
  if (call.request().limit() > Questions::kMaxPage) {
    return call.Finish(
        {grpc::INVALID_ARGUMENT, fmt::format("limit is over {}", Questions::kMaxPage)});
  }
  Broker::ReadRequest read;
  read.topic = call.request().topic();
  read.limit = call.request().limit() == 0 ? Questions::kDefaultPage : call.request().limit();
  read.reverse = call.request().reverse();
  if (!call.request().since().empty()) {
    absl::StatusOr<Position> since = Position::FromToken(call.request().since());
    if (!since.ok()) return call.Finish(ToGrpc(Invalid("since", since.status())));
    read.since = *since;
  }
  broker_.Read(std::move(read), [this, &call, topic = call.request().topic()](
                                    absl::StatusOr<Broker::ReadResult> result) mutable {
    executor_.Post([&call, topic = std::move(topic), result = std::move(result)] {
      if (!result.ok()) return call.Finish(ToGrpc(result.status()));
      v1::GetHistoryResponse& response = call.response();
      for (const MessagePtr& message : result->messages) {
        v1::HistoryEntry& entry = *response.add_entries();
        SetPosition(message->position(), topic, *entry.mutable_position());
        *entry.mutable_message() = ToProto(message->body());
        SetTime(absl::FromUnixMillis(message->body().accepted_unix_ms),
                entry.mutable_accepted_at());
        entry.set_sender_session_id(message->body().sender);
      }
      SetPosition(result->current, topic, *response.mutable_current());
      response.set_complete(result->complete);
      call.Finish(grpc::Status::OK);
    });
  });
}

}  // namespace herald
