#include "service/session_service.h"

#include <algorithm>

#include "absl/strings/escaping.h"
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

absl::StatusOr<SessionFilter> ParseFilter(const v1::ListSessionsRequest& request) {
  SessionFilter filter;
  if (!request.user_id().empty()) {
    if (absl::Status bad = ValidateUserId(request.user_id()); !bad.ok())
      return Invalid("user_id", bad);
    filter.user = request.user_id();
  }
  if (!request.topic().empty()) {
    if (absl::Status bad = ValidateTopic(request.topic()); !bad.ok()) return Invalid("topic", bad);
    filter.topic = request.topic();
  }
  if (!request.selector().empty()) {
    absl::StatusOr<Selector> selector = Selector::Parse(request.selector());
    if (!selector.ok()) return Invalid("selector", selector.status());
    filter.selector = *std::move(selector);
  }
  return filter;
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

grpc::ServerUnaryReactor* SessionService::ListSessions(Context* context,
                                                       const v1::ListSessionsRequest* request,
                                                       v1::ListSessionsResponse* response) {
  Reactor* refused = nullptr;
  Reactor* reactor = Begin(context, &refused);
  if (reactor == nullptr) return refused;
  absl::StatusOr<SessionFilter> filter = ParseFilter(*request);
  if (!filter.ok()) return Finish(reactor, filter.status());
  if (request->page_size() > kMaxPage) {
    return Finish(reactor, absl::InvalidArgumentError(
                               fmt::format("page_size is over the limit of {}", kMaxPage)));
  }
  const std::size_t size = request->page_size() == 0 ? kDefaultPage : request->page_size();
  std::string after;  // the last id of the previous page
  if (!absl::WebSafeBase64Unescape(request->page_token(), &after)) {
    return Finish(reactor,
                  absl::InvalidArgumentError("page_token is not one that Herald gave out"));
  }
  table_.List(*std::move(filter), [this, reactor, response, size,
                                   after](std::vector<SessionInfo> found) mutable {
    executor_.Post([this, reactor, response, size, after = std::move(after),
                    found = std::move(found)]() mutable {
      response->set_total(found.size());
      const auto by_id = [](const SessionInfo& a, const SessionInfo& b) { return a.id < b.id; };
      std::sort(found.begin(), found.end(), by_id);
      auto it = std::find_if(found.begin(), found.end(),
                             [&](const SessionInfo& info) { return info.id > after; });
      for (; it != found.end() && static_cast<std::size_t>(response->sessions_size()) < size;
           ++it) {
        *response->add_sessions() = ToProto(*it, runner_.node());
      }
      if (it != found.end()) {
        response->set_next_page_token(
            absl::WebSafeBase64Escape(response->sessions().rbegin()->session_id()));
      }
      reactor->Finish(grpc::Status::OK);
    });
  });
  return reactor;
}

grpc::ServerUnaryReactor* SessionService::GetSession(Context* context,
                                                     const v1::GetSessionRequest* request,
                                                     v1::GetSessionResponse* response) {
  Reactor* refused = nullptr;
  Reactor* reactor = Begin(context, &refused);
  if (reactor == nullptr) return refused;
  absl::StatusOr<ParsedSessionId> id = ParseSessionId(request->session_id());
  if (!id.ok()) return Finish(reactor, id.status());
  const absl::Status not_found = absl::NotFoundError("session_id: no such session");
  if (id->node != runner_.node()) return Finish(reactor, not_found);
  table_.Get(id->id, [this, reactor, response, not_found](std::optional<SessionInfo> info) mutable {
    executor_.Post([this, reactor, response, not_found, info = std::move(info)] {
      if (!info) {
        Finish(reactor, not_found);
        return;
      }
      *response->mutable_session() = ToProto(*info, runner_.node());
      reactor->Finish(grpc::Status::OK);
    });
  });
  return reactor;
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

grpc::ServerUnaryReactor* SessionService::GetPresence(Context* context,
                                                      const v1::GetPresenceRequest* request,
                                                      v1::GetPresenceResponse* response) {
  Reactor* refused = nullptr;
  Reactor* reactor = Begin(context, &refused);
  if (reactor == nullptr) return refused;
  if (absl::Status bad = ValidateTopic(request->topic()); !bad.ok())
    return Finish(reactor, Invalid("topic", bad));
  if (request->limit() > kMaxPresence) {
    return Finish(reactor,
                  absl::InvalidArgumentError(fmt::format("limit is over {}", kMaxPresence)));
  }
  const std::size_t limit = request->limit() == 0 ? kDefaultPresence : request->limit();
  const bool with_sessions = request->include_sessions();
  table_.Presence(request->topic(), [this, reactor, response, limit, with_sessions](
                                        std::vector<SessionTable::Present> found) mutable {
    executor_.Post([reactor, response, limit, with_sessions, found = std::move(found)]() mutable {
      response->set_session_count(found.size());
      std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
        return std::tie(a.user, a.session_id) < std::tie(b.user, b.session_id);
      });
      const std::string* last = nullptr;
      std::uint64_t users = 0;
      for (const auto& present : found) {
        if (with_sessions && static_cast<std::size_t>(response->sessions_size()) < limit) {
          v1::PresentSession& session = *response->add_sessions();
          session.set_session_id(present.session_id);
          session.set_user_id(present.user);
        }
        if (present.user.empty() || (last != nullptr && *last == present.user)) continue;
        last = &present.user;
        ++users;
        if (static_cast<std::size_t>(response->users_size()) < limit)
          response->add_users(present.user);
      }
      response->set_user_count(users);
      reactor->Finish(grpc::Status::OK);
    });
  });
  return reactor;
}

grpc::ServerUnaryReactor* SessionService::GetHistory(Context* context,
                                                     const v1::GetHistoryRequest* request,
                                                     v1::GetHistoryResponse* response) {
  Reactor* refused = nullptr;
  Reactor* reactor = Begin(context, &refused);
  if (reactor == nullptr) return refused;
  if (absl::Status bad = ValidateTopic(request->topic()); !bad.ok())
    return Finish(reactor, Invalid("topic", bad));
  if (request->limit() > kMaxPage) {
    return Finish(reactor, absl::InvalidArgumentError(fmt::format("limit is over {}", kMaxPage)));
  }
  Broker::ReadRequest read;
  read.topic = request->topic();
  read.limit = request->limit() == 0 ? kDefaultPage : request->limit();
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
