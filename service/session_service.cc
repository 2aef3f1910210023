#include "service/session_service.h"

#include "fmt/format.h"
#include "service/call_context.h"
#include "service/convert.h"
#include "service/status.h"
#include "session/topic_name.h"

namespace herald {
namespace {

// False: what is asked for is outside the producer's rights, and the call has been answered.
template <typename Call>
bool MayAskFor(Call& call, const ProducerGate& producer,
               std::optional<Denial> (ProducerRights::*check)(std::string_view, std::string_view)
                   const,
               std::string_view name) {
  if (producer.open()) return true;
  const std::optional<Denial> denial = (producer.rights()->*check)("ask for", name);
  if (denial) call.Finish(ToGrpc(producer.Refuse(*denial)));
  return !denial;
}

absl::Status Invalid(std::string_view field, const absl::Status& why) {
  return absl::InvalidArgumentError(fmt::format("{}: {}", field, std::string(why.message())));
}

}  // namespace

void SessionService::Serve(CallQueue& queue, const CallGate& gate) {
  const auto serve = [&](std::string_view method, auto handle) {
    ServeUnary(methods_[method], queue, gate, *this, handle);
  };
  serve("ListSessions", &SessionService::ListSessions);
  serve("GetSession", &SessionService::GetSession);
  serve("Join", &SessionService::Join);
  serve("Leave", &SessionService::Leave);
  serve("SetLabels", &SessionService::SetLabels);
  serve("Disconnect", &SessionService::Disconnect);
  serve("GetPresence", &SessionService::GetPresence);
  serve("GetHistory", &SessionService::GetHistory);
}

template <typename Request, typename Response>
void SessionService::Answer(UnaryCall<Request, Response>& call, const ProducerGate& producer,
                            void (Questions::*ask)(const Request&, const ReachPtr&,
                                                   Questions::Done<Response>)) {
  (questions_.*ask)(call.request(), producer.sees(), [&call](absl::StatusOr<Response> answer) {
    if (answer.ok()) {
      if (!call.Reserve(answer->ByteSizeLong())) return;
      call.response() = *std::move(answer);
    }
    call.Finish(ToGrpc(answer.status()));
  });
}

void SessionService::ListSessions(
    UnaryCall<v1::ListSessionsRequest, v1::ListSessionsResponse>& call) {
  const std::optional<ProducerGate> producer = Admit(call, Right::kQuery);
  if (!producer) return;
  const v1::ListSessionsRequest& request = call.request();
  if (!request.user_id().empty() &&
      !MayAskFor(call, *producer, &ProducerRights::CheckUser, request.user_id()))
    return;
  if (!request.topic().empty() &&
      !MayAskFor(call, *producer, &ProducerRights::CheckTopic, request.topic()))
    return;
  Answer(call, *producer, &Questions::ListSessions);
}

void SessionService::GetSession(UnaryCall<v1::GetSessionRequest, v1::GetSessionResponse>& call) {
  const std::optional<ProducerGate> producer = Admit(call, Right::kQuery);
  if (producer) Answer(call, *producer, &Questions::GetSession);
}

void SessionService::GetPresence(UnaryCall<v1::GetPresenceRequest, v1::GetPresenceResponse>& call) {
  const std::optional<ProducerGate> producer = Admit(call, Right::kQuery);
  if (!producer || !MayAskFor(call, *producer, &ProducerRights::CheckTopic, call.request().topic()))
    return;
  Answer(call, *producer, &Questions::GetPresence);
}

template <typename Request, typename Response>
void SessionService::RunCommand(UnaryCall<Request, Response>& call, const v1::Command& command) {
  std::optional<ProducerGate> producer = Admit(call);
  if (!producer) return;
  if (const absl::Status denied = producer->Check(command); !denied.ok())
    return call.Finish(ToGrpc(denied));
  producer->ChargeTargets(command);
  CommandRunner::Context context;
  context.producer = producer->name();
  context.reach = producer->touches();
  context.beyond_reach = producer->beyond_reach();
  runner_.Run(command, context, [this, &call](v1::CommandResult result) {
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
  const std::optional<ProducerGate> producer = Admit(call, Right::kQuery);
  if (!producer) return;
  if (absl::Status bad = ValidateTopic(call.request().topic()); !bad.ok())
    return call.Finish(ToGrpc(Invalid("topic", bad)));
  if (!MayAskFor(call, *producer, &ProducerRights::CheckTopic, call.request().topic())) return;
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
  history_reads_.Enter([this, &call, read = std::move(read)]() mutable {
    const std::string topic = read.topic;
    broker_.Read(std::move(read), [this, &call, topic](absl::StatusOr<Broker::ReadResult> result) {
      executor_.Post([this, &call, topic, result = std::move(result)] {
        if (result.ok()) {
          AnswerHistory(call, topic, *result);
        } else {
          call.Finish(ToGrpc(result.status()));
        }
        history_reads_.Leave();
      });
    });
  });
}

void SessionService::AnswerHistory(UnaryCall<v1::GetHistoryRequest, v1::GetHistoryResponse>& call,
                                   const std::string& topic, const Broker::ReadResult& result) {
  std::size_t bytes = 0, entries = 0;
  for (const MessagePtr& message : result.messages) {
    bytes += message->size_bytes();
    if (entries > 0 && bytes > kMaxHistoryBytes) break;
    ++entries;
  }
  if (!call.Reserve(bytes)) return;
  v1::GetHistoryResponse& response = call.response();
  for (std::size_t i = 0; i < entries; ++i) {
    const Message& message = *result.messages[i];
    v1::HistoryEntry& entry = *response.add_entries();
    SetPosition(message.position(), topic, *entry.mutable_position());
    *entry.mutable_message() = ToProto(message.body());
    SetTime(absl::FromUnixMillis(message.body().accepted_unix_ms), entry.mutable_accepted_at());
    entry.set_sender_session_id(message.body().sender);
  }
  SetPosition(result.current, topic, *response.mutable_current());
  response.set_complete(result.complete);
  call.Finish(grpc::Status::OK);
}

}  // namespace herald
