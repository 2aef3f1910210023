#include "service/session_service.h"

#include "fmt/format.h"
#include "service/call_context.h"
#include "service/convert.h"
#include "service/status.h"
#include "session/topic_name.h"

namespace herald {
namespace {

grpc::ServerUnaryReactor* Finish(grpc::ServerUnaryReactor* reactor, const absl::Status& status) {
  reactor->Finish(ToGrpc(status));
  return reactor;
}

absl::Status Invalid(std::string_view field, const absl::Status& why) {
  return absl::InvalidArgumentError(fmt::format("{}: {}", field, std::string(why.message())));
}

}  // namespace

grpc::ServerUnaryReactor* SessionService::Begin(Context* context, Reactor** refused) {
  Reactor* reactor = context->DefaultReactor();
  if (auto producer = auth_.Check(Metadata(*context, "authorization")); !producer.ok()) {
    *refused = Finish(reactor, producer.status());
    return nullptr;
  }
  return reactor;
}

template <typename Request, typename Response>
grpc::ServerUnaryReactor* SessionService::Answer(
    Context* context, const Request* request, Response* response,
    void (Questions::*ask)(const Request&, Questions::Done<Response>)) {
  Reactor* refused = nullptr;
  Reactor* reactor = Begin(context, &refused);
  if (reactor == nullptr) return refused;
  (questions_.*ask)(*request, [reactor, response](absl::StatusOr<Response> answer) {
    if (answer.ok()) *response = *std::move(answer);
    Finish(reactor, answer.status());
  });
  return reactor;
}

grpc::ServerUnaryReactor* SessionService::ListSessions(Context* context,
                                                       const v1::ListSessionsRequest* request,
                                                       v1::ListSessionsResponse* response) {
  return Answer(context, request, response, &Questions::ListSessions);
}

grpc::ServerUnaryReactor* SessionService::GetSession(Context* context,
                                                     const v1::GetSessionRequest* request,
                                                     v1::GetSessionResponse* response) {
  return Answer(context, request, response, &Questions::GetSession);
}

grpc::ServerUnaryReactor* SessionService::GetPresence(Context* context,
                                                      const v1::GetPresenceRequest* request,
                                                      v1::GetPresenceResponse* response) {
  return Answer(context, request, response, &Questions::GetPresence);
}

template <typename Response>
grpc::ServerUnaryReactor* SessionService::RunCommand(Context* context, const v1::Command& command,
                                                     Response* response) {
  Reactor* refused = nullptr;
  Reactor* reactor = Begin(context, &refused);
  if (reactor == nullptr) return refused;
  runner_.Run(command, {}, [this, reactor, response](v1::CommandResult result) {
    executor_.Post([reactor, response, result = std::move(result)] {
      response->set_matched(result.matched());
      reactor->Finish({static_cast<grpc::StatusCode>(result.code()), result.detail()});
    });
  });
  return reactor;
}

grpc::ServerUnaryReactor* SessionService::Join(Context* context, const v1::JoinRequest* request,
                                               v1::JoinResponse* response) {
  v1::Command command;
  *command.mutable_join()->mutable_target() = request->target();
  *command.mutable_join()->mutable_topics() = request->topics();
  return RunCommand(context, command, response);
}

grpc::ServerUnaryReactor* SessionService::Leave(Context* context, const v1::LeaveRequest* request,
                                                v1::LeaveResponse* response) {
  v1::Command command;
  *command.mutable_leave()->mutable_target() = request->target();
  *command.mutable_leave()->mutable_topics() = request->topics();
  return RunCommand(context, command, response);
}

grpc::ServerUnaryReactor* SessionService::SetLabels(Context* context,
                                                    const v1::SetLabelsRequest* request,
                                                    v1::SetLabelsResponse* response) {
  v1::Command command;
  *command.mutable_set_labels()->mutable_target() = request->target();
  *command.mutable_set_labels()->mutable_set() = request->set();
  *command.mutable_set_labels()->mutable_remove() = request->remove();
  return RunCommand(context, command, response);
}

grpc::ServerUnaryReactor* SessionService::Disconnect(Context* context,
                                                     const v1::DisconnectRequest* request,
                                                     v1::DisconnectResponse* response) {
  v1::Command command;
  v1::Disconnect& disconnect = *command.mutable_disconnect();
  *disconnect.mutable_target() = request->target();
  disconnect.set_code(request->code());
  disconnect.set_reason(request->reason());
  disconnect.set_reconnect(request->reconnect());
  if (request->has_reconnect_delay())
    *disconnect.mutable_reconnect_delay() = request->reconnect_delay();
  return RunCommand(context, command, response);
}

grpc::ServerUnaryReactor* SessionService::GetHistory(Context* context,
                                                     const v1::GetHistoryRequest* request,
                                                     v1::GetHistoryResponse* response) {
  Reactor* refused = nullptr;
  Reactor* reactor = Begin(context, &refused);
  if (reactor == nullptr) return refused;
  if (absl::Status bad = ValidateTopic(request->topic()); !bad.ok())
    return Finish(reactor, Invalid("topic", bad));
  if (request->limit() > Questions::kMaxPage) {
    return Finish(reactor,
                  absl::InvalidArgumentError(fmt::format("limit is over {}", Questions::kMaxPage)));
  }
  Broker::ReadRequest read;
  read.topic = request->topic();
  read.limit = request->limit() == 0 ? Questions::kDefaultPage : request->limit();
  read.reverse = request->reverse();
  if (!request->since().empty()) {
    absl::StatusOr<Position> since = Position::FromToken(request->since());
    if (!since.ok()) return Finish(reactor, Invalid("since", since.status()));
    read.since = *since;
  }
  broker_.Read(std::move(read), [this, reactor, response, topic = request->topic()](
                                    absl::StatusOr<Broker::ReadResult> result) mutable {
    executor_.Post([reactor, response, topic = std::move(topic), result = std::move(result)] {
      if (!result.ok()) {
        Finish(reactor, result.status());
        return;
      }
      for (const MessagePtr& message : result->messages) {
        v1::HistoryEntry& entry = *response->add_entries();
        SetPosition(message->position(), topic, *entry.mutable_position());
        *entry.mutable_message() = ToProto(message->body());
        SetTime(absl::FromUnixMillis(message->body().accepted_unix_ms),
                entry.mutable_accepted_at());
        entry.set_sender_session_id(message->body().sender);
      }
      SetPosition(result->current, topic, *response->mutable_current());
      response->set_complete(result->complete);
      reactor->Finish(grpc::Status::OK);
    });
  });
  return reactor;
}

}  // namespace herald
