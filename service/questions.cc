#include "service/questions.h"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "fmt/format.h"
#include "service/convert.h"
#include "service/reach_wire.h"
#include "session/mutex.h"
#include "session/topic_name.h"

namespace herald {
namespace {

absl::Status Invalid(std::string_view field, const absl::Status& why) {
  return absl::InvalidArgumentError(fmt::format("{}: {}", field, std::string(why.message())));
}

absl::StatusOr<SessionFilter> ParseFilter(const std::string& user, const std::string& topic,
                                          const std::string& selector) {
  SessionFilter filter;
  if (!user.empty()) {
    if (absl::Status bad = ValidateUserId(user); !bad.ok()) return Invalid("user_id", bad);
    filter.user = user;
  }
  if (!topic.empty()) {
    if (absl::Status bad = ValidateTopic(topic); !bad.ok()) return Invalid("topic", bad);
    filter.topic = topic;
  }
  if (!selector.empty()) {
    absl::StatusOr<Selector> parsed = Selector::Parse(selector);
    if (!parsed.ok()) return Invalid("selector", parsed.status());
    filter.selector = *std::move(parsed);
  }
  return filter;
}

absl::StatusOr<internal::v1::SessionPage> ParsePage(const std::string& token) {
  internal::v1::SessionPage page;
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(token, &bytes) || !page.ParseFromString(bytes))
    return absl::InvalidArgumentError("page_token is not one that Herald gave out");
  return page;
}

template <typename Message, typename Less>
std::vector<Message> Sorted(std::vector<google::protobuf::RepeatedPtrField<Message>*> lists,
                            Less less) {
  std::vector<Message> all;
  for (auto* list : lists) {
    for (Message& one : *list) all.push_back(std::move(one));
  }
  std::sort(all.begin(), all.end(), less);
  return all;
}

// Takes topics out of what is told about a session.
void KeepTopics(const ReachPtr& reach, v1::Session& session) {
  if (!reach) return;
  auto& topics = *session.mutable_topics();
  topics.erase(std::remove_if(topics.begin(), topics.end(),
                              [&](const std::string& topic) { return !reach->CoversTopic(topic); }),
               topics.end());
}

bool ById(const v1::Session& a, const v1::Session& b) { return a.session_id() < b.session_id(); }

}  // namespace

Questions::Questions(SessionTable& table, std::string node, std::string broker,
                     std::function<v1::NodeInfo()> describe, Executor& executor, Cluster* cluster)
    : table_(table),
      node_(std::move(node)),
      broker_(std::move(broker)),
      describe_(std::move(describe)),
      executor_(executor),
      cluster_(cluster) {
  if (cluster_ == nullptr) return;
  Handle("sessions", &Questions::ListHere);
  Handle("session", &Questions::GetHere);
  Handle("presence", &Questions::PresenceHere);
  Handle("info", &Questions::DescribeHere);
}

template <typename Request, typename Answer>
void Questions::Handle(std::string method,
                       void (Questions::*here)(const Request&, absl::AnyInvocable<void(Answer)>)) {
  cluster_->Handle(std::move(method), [this, here](std::string_view, const std::string& bytes,
                                                   Cluster::Answer answer) {
    Request request;
    if (!request.ParseFromString(bytes))
      return answer(absl::InvalidArgumentError("the question is not readable"));
    (this->*here)(request, [answer = std::move(answer)](const Answer& own) mutable {
      answer(own.SerializeAsString());
    });
  });
}

template <typename Answer>
void Questions::AskAll(std::string_view method, std::string request,
                       absl::AnyInvocable<void(absl::AnyInvocable<void(Answer)>)> here,
                       absl::AnyInvocable<void(Answers<Answer>)> done) {
  struct Gathering {
    Mutex mutex;
    int awaited ABSL_GUARDED_BY(mutex) = 2;
    Answers<Answer> all ABSL_GUARDED_BY(mutex);
    absl::AnyInvocable<void(Answers<Answer>)> done;

    // True with the last.
    bool Add(std::vector<Answer> answers, std::vector<std::string> missing) {
      MutexLock lock(mutex);
      std::move(answers.begin(), answers.end(), std::back_inserter(all.answers));
      std::move(missing.begin(), missing.end(), std::back_inserter(all.missing));
      return --awaited == 0;
    }
    Answers<Answer> Take() {
      MutexLock lock(mutex);
      return std::move(all);
    }
  };
  auto gathering = std::make_shared<Gathering>();
  gathering->done = std::move(done);
  const auto add = [this, gathering](std::vector<Answer> answers,
                                     std::vector<std::string> missing) {
    if (!gathering->Add(std::move(answers), std::move(missing))) return;
    executor_.Post([gathering] { gathering->done(gathering->Take()); });
  };
  here([add](Answer own) {
    std::vector<Answer> answers;
    answers.push_back(std::move(own));
    add(std::move(answers), {});
  });
  if (cluster_ == nullptr) return add({}, {});
  cluster_->AskAll(method, std::move(request), kDeadline, [add](Cluster::Answers theirs) {
    std::vector<Answer> answers;
    std::vector<std::string> missing = std::move(theirs.unanswered);
    missing.insert(missing.end(), theirs.lost.begin(), theirs.lost.end());
    for (auto& [node, bytes] : theirs.by_node) {
      Answer answer;
      if (answer.ParseFromString(bytes)) {
        answers.push_back(std::move(answer));
      } else {
        missing.push_back(node);
      }
    }
    std::sort(missing.begin(), missing.end());
    add(std::move(answers), std::move(missing));
  });
}

// --- sessions ---

void Questions::ListHere(const internal::v1::ListSessions& request,
                         absl::AnyInvocable<void(internal::v1::SessionList)> done) {
  absl::StatusOr<SessionFilter> filter =
      ParseFilter(request.user_id(), request.topic(), request.selector());
  // Only what passed at the node that asks comes here.
  if (!filter.ok()) return done({});
  if (request.has_reach()) filter->reach = FromWire(request.reach());
  auto collected = [this, request, done = std::move(done)](std::vector<SessionInfo> found) mutable {
    executor_.Post([this, request, done = std::move(done), found = std::move(found)]() mutable {
      internal::v1::SessionList list;
      list.set_total(found.size());
      std::sort(found.begin(), found.end(),
                [](const SessionInfo& a, const SessionInfo& b) { return a.id < b.id; });
      for (const SessionInfo& info : found) {
        if (info.id <= request.after()) continue;
        if (static_cast<std::uint32_t>(list.sessions_size()) == request.limit()) {
          list.set_more(true);
          break;
        }
        *list.add_sessions() = ToProto(info, node_);
      }
      found = {};
      collecting_.Leave();
      done(std::move(list));
    });
  };
  collecting_.Enter(
      [this, filter = *std::move(filter), collected = std::move(collected)]() mutable {
        table_.List(std::move(filter), std::move(collected));
      });
}

void Questions::ListSessions(const v1::ListSessionsRequest& request, const ReachPtr& reach,
                             Done<v1::ListSessionsResponse> done) {
  if (auto filter = ParseFilter(request.user_id(), request.topic(), request.selector());
      !filter.ok()) {
    return done(filter.status());
  }
  if (request.page_size() > kMaxPage) {
    return done(
        absl::InvalidArgumentError(fmt::format("page_size is over the limit of {}", kMaxPage)));
  }
  absl::StatusOr<internal::v1::SessionPage> page = ParsePage(request.page_token());
  if (!page.ok()) return done(page.status());
  internal::v1::ListSessions ask;
  ask.set_user_id(request.user_id());
  ask.set_topic(request.topic());
  ask.set_selector(request.selector());
  if (reach) *ask.mutable_reach() = ToWire(*reach);
  ask.set_after(page->after());
  ask.set_limit(request.page_size() == 0 ? kDefaultPage : request.page_size());
  AskAll<internal::v1::SessionList>(
      "sessions", ask.SerializeAsString(), [this, ask](auto own) { ListHere(ask, std::move(own)); },
      [reach, size = ask.limit(), page = *std::move(page),
       done = std::move(done)](Answers<internal::v1::SessionList> all) mutable {
        v1::ListSessionsResponse response;
        bool more = false;
        std::vector<google::protobuf::RepeatedPtrField<v1::Session>*> lists;
        for (internal::v1::SessionList& list : all.answers) {
          response.set_total(response.total() + list.total());
          more = more || list.more();
          lists.push_back(list.mutable_sessions());
        }
        std::vector<v1::Session> sessions = Sorted(std::move(lists), ById);
        more = more || sessions.size() > size;
        sessions.resize(std::min<std::size_t>(sessions.size(), size));
        for (v1::Session& session : sessions) {
          KeepTopics(reach, session);
          *response.add_sessions() = std::move(session);
        }
        // Who did not answer for a page is missing from the whole, also if it answers later.
        std::set<std::string> missing(page.unanswered_nodes().begin(),
                                      page.unanswered_nodes().end());
        missing.insert(all.missing.begin(), all.missing.end());
        for (const std::string& node : missing) response.add_unanswered_nodes(node);
        if (more) {
          internal::v1::SessionPage next;
          next.set_after(response.sessions().rbegin()->session_id());
          *next.mutable_unanswered_nodes() = response.unanswered_nodes();
          response.set_next_page_token(absl::WebSafeBase64Escape(next.SerializeAsString()));
        }
        done(std::move(response));
      });
}

void Questions::GetHere(const v1::GetSessionRequest& request,
                        absl::AnyInvocable<void(v1::GetSessionResponse)> done) {
  const absl::StatusOr<ParsedSessionId> id = ParseSessionId(request.session_id());
  if (!id.ok() || id->node != node_) return done({});
  table_.Get(id->id, [this, done = std::move(done)](std::optional<SessionInfo> info) mutable {
    executor_.Post([this, done = std::move(done), info = std::move(info)]() mutable {
      v1::GetSessionResponse response;
      if (info) *response.mutable_session() = ToProto(*info, node_);
      done(std::move(response));
    });
  });
}

void Questions::GetSession(const v1::GetSessionRequest& request, const ReachPtr& reach,
                           Done<v1::GetSessionResponse> done) {
  const absl::StatusOr<ParsedSessionId> id = ParseSessionId(request.session_id());
  if (!id.ok()) return done(id.status());
  auto answer = [reach,
                 done = std::move(done)](absl::StatusOr<v1::GetSessionResponse> response) mutable {
    const bool hidden = response.ok() && reach && !reach->CoversUser(response->session().user_id());
    if (response.ok() && (hidden || !response->has_session()))
      response = absl::NotFoundError("session_id: no such session");
    if (response.ok()) KeepTopics(reach, *response->mutable_session());
    done(std::move(response));
  };
  if (cluster_ == nullptr || id->node == node_) return GetHere(request, std::move(answer));
  cluster_->Ask(
      id->node, "session", request.SerializeAsString(), kDeadline,
      [this, answer = std::move(answer)](absl::StatusOr<std::string> bytes) mutable {
        absl::StatusOr<v1::GetSessionResponse> response = v1::GetSessionResponse();
        if (bytes.ok()) {
          if (!response->ParseFromString(*bytes))
            response = absl::InternalError("the answer of the session's replica is not readable");
        } else if (!absl::IsNotFound(bytes.status())) {
          // Not that it is not found: nobody knows.
          response = absl::UnavailableError(bytes.status().message());
        }
        executor_.Post([answer = std::move(answer), response = std::move(response)]() mutable {
          answer(std::move(response));
        });
      });
}

// --- presence ---

void Questions::PresenceHere(const internal::v1::AskPresence& request,
                             absl::AnyInvocable<void(internal::v1::PresentSessions)> done) {
  auto collected = [this,
                    done = std::move(done)](std::vector<SessionTable::Present> found) mutable {
    executor_.Post([this, done = std::move(done), found = std::move(found)]() mutable {
      internal::v1::PresentSessions present;
      for (SessionTable::Present& one : found) {
        v1::PresentSession& session = *present.add_sessions();
        session.set_session_id(std::move(one.session_id));
        session.set_user_id(std::move(one.user));
      }
      found = {};
      collecting_.Leave();
      done(std::move(present));
    });
  };
  collecting_.Enter([this, request, collected = std::move(collected)]() mutable {
    table_.Presence(request.topic(), request.has_reach() ? FromWire(request.reach()) : nullptr,
                    std::move(collected));
  });
}

void Questions::GetPresence(const v1::GetPresenceRequest& request, const ReachPtr& reach,
                            Done<v1::GetPresenceResponse> done) {
  if (absl::Status bad = ValidateTopic(request.topic()); !bad.ok())
    return done(Invalid("topic", bad));
  if (request.limit() > kMaxPresence)
    return done(absl::InvalidArgumentError(fmt::format("limit is over {}", kMaxPresence)));
  internal::v1::AskPresence ask;
  ask.set_topic(request.topic());
  if (reach) *ask.mutable_reach() = ToWire(*reach);
  AskAll<internal::v1::PresentSessions>(
      "presence", ask.SerializeAsString(),
      [this, ask](auto own) { PresenceHere(ask, std::move(own)); },
      [limit = request.limit() == 0 ? kDefaultPresence : request.limit(),
       with_sessions = request.include_sessions(), reach,
       done = std::move(done)](Answers<internal::v1::PresentSessions> all) mutable {
        v1::GetPresenceResponse response;
        std::vector<google::protobuf::RepeatedPtrField<v1::PresentSession>*> lists;
        for (auto& present : all.answers) lists.push_back(present.mutable_sessions());
        std::vector<v1::PresentSession> sessions =
            Sorted(std::move(lists), [](const v1::PresentSession& a, const v1::PresentSession& b) {
              return std::tie(a.user_id(), a.session_id()) < std::tie(b.user_id(), b.session_id());
            });
        if (reach) {  // a replica of an older version has not looked at it
          std::erase_if(sessions, [&](const v1::PresentSession& session) {
            return !reach->CoversUser(session.user_id());
          });
        }
        response.set_session_count(sessions.size());
        const std::string* last = nullptr;
        std::uint64_t users = 0;
        for (const v1::PresentSession& session : sessions) {
          if (with_sessions && static_cast<std::uint32_t>(response.sessions_size()) < limit)
            *response.add_sessions() = session;
          if (session.user_id().empty() || (last != nullptr && *last == session.user_id()))
            continue;
          last = &session.user_id();
          ++users;
          if (static_cast<std::uint32_t>(response.users_size()) < limit)
            response.add_users(session.user_id());
        }
        response.set_user_count(users);
        for (std::string& node : all.missing) response.add_unanswered_nodes(std::move(node));
        done(std::move(response));
      });
}

// --- nodes ---

void Questions::DescribeHere(const v1::GetInfoRequest&,
                             absl::AnyInvocable<void(v1::NodeInfo)> done) {
  done(describe_());
}

void Questions::GetInfo(Done<v1::GetInfoResponse> done) {
  AskAll<v1::NodeInfo>(
      "info", "", [this](auto own) { DescribeHere({}, std::move(own)); },
      [this, done = std::move(done)](Answers<v1::NodeInfo> all) mutable {
        v1::GetInfoResponse response;
        response.set_node(node_);
        response.set_broker(broker_);
        std::sort(all.answers.begin(), all.answers.end(),
                  [](const v1::NodeInfo& a, const v1::NodeInfo& b) { return a.node() < b.node(); });
        for (v1::NodeInfo& info : all.answers) *response.add_nodes() = std::move(info);
        for (std::string& node : all.missing) response.add_unanswered_nodes(std::move(node));
        done(std::move(response));
      });
}

}  // namespace herald
