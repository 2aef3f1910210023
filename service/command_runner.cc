#include "service/command_runner.h"

#include "fmt/format.h"
#include "service/convert.h"
#include "service/idempotency.h"
#include "session/topic_name.h"
#include "session/utf8.h"

namespace herald {
namespace {

void SetStatus(const absl::Status& status, v1::CommandResult& result) {
  result.set_code(static_cast<int>(status.code()));
  result.set_detail(std::string(status.message()));
  result.clear_message_id();
}

void Fail(std::uint64_t seq, const absl::Status& status, CommandRunner::Done& done) {
  v1::CommandResult result;
  result.set_seq(seq);
  SetStatus(status, result);
  done(std::move(result));
}

absl::Status NoSuchSession() { return absl::NotFoundError("target.session_id: no such session"); }
absl::Status NobodyMatched() { return absl::NotFoundError("nobody matched the target"); }

// What is designed and not built yet is refused, never ignored.
absl::Status CheckSupported(const v1::Deliver& deliver, v1::ReportLevel default_report) {
  const auto later = [](std::string_view field) {
    return absl::UnimplementedError(fmt::format("{} is not available in this version", field));
  };
  const v1::ReportLevel report =
      deliver.report() == v1::REPORT_LEVEL_UNSPECIFIED ? default_report : deliver.report();
  if (absl::Status bad = CheckIdempotencyKey("idempotency_key", deliver.idempotency_key());
      !bad.ok()) {
    return bad;
  }
  const v1::Policy& policy = deliver.policy();
  if (!v1::ReportLevel_IsValid(report)) return absl::InvalidArgumentError("report is no level");
  if (!v1::Priority_IsValid(policy.priority())) {
    return absl::InvalidArgumentError("policy.priority is no priority");
  }
  if (!v1::Overflow_IsValid(policy.overflow())) {
    return absl::InvalidArgumentError("policy.overflow is no overflow");
  }
  if (report > v1::REPORT_LEVEL_ACCEPTED) return later("report above ACCEPTED");
  if (policy.has_ttl()) return later("policy.ttl");
  if (policy.priority() > v1::PRIORITY_NORMAL) return later("policy.priority");
  if (!policy.collapse_key().empty()) return later("policy.collapse_key");
  if (policy.overflow() > v1::OVERFLOW_DISCONNECT) return later("policy.overflow");
  return absl::OkStatus();
}

// How many sessions could not be changed, counted on several shards at once, and why.
struct Refused {
  std::atomic<std::uint64_t> sessions{0};
  const std::string_view why;
};

// Answers a command that changes sessions once all shards have.
SessionTable::Done AnswerChange(std::uint64_t seq, const Target& target,
                                std::shared_ptr<Refused> refused, CommandRunner::Done done) {
  const bool one_session = std::holds_alternative<SessionId>(target.to);
  return [seq, one_session, refused = std::move(refused),
          done = std::move(done)](std::uint64_t matched) mutable {
    v1::CommandResult result;
    result.set_seq(seq);
    result.set_matched(matched);
    if (matched == 0 && one_session) SetStatus(NoSuchSession(), result);
    if (refused && refused->sessions > 0) {
      SetStatus(absl::ResourceExhaustedError(fmt::format(
                    "{} of {} sessions {}", refused->sessions.load(), matched, refused->why)),
                result);
    }
    done(std::move(result));
  };
}

// One topic has one name for each kind of target.
std::vector<std::string> TopicsOf(const Target& target) {
  if (const auto* users = std::get_if<ToUsers>(&target.to)) {
    std::vector<std::string> topics;
    topics.reserve(users->users.size());
    for (const std::string& user : users->users) topics.push_back(PersonalTopic(user));
    return topics;
  }
  if (const auto* topics = std::get_if<ToTopics>(&target.to)) return topics->topics;
  return {std::string(kBroadcastTopic)};
}

}  // namespace

bool CommandRunner::MayFollowChanges(const v1::Command& command) {
  const auto in_mailbox_order = [](const v1::Target& target) {
    return target.has_session_id() || target.all() || target.has_selector();
  };
  switch (command.action_case()) {
    case v1::Command::kJoin:
      return in_mailbox_order(command.join().target());
    case v1::Command::kLeave:
      return in_mailbox_order(command.leave().target());
    case v1::Command::kDisconnect:
      return in_mailbox_order(command.disconnect().target());
    case v1::Command::kSetLabels:
      return in_mailbox_order(command.set_labels().target());
    case v1::Command::kDeliver:
    case v1::Command::ACTION_NOT_SET:
      break;
  }
  return false;
}

void CommandRunner::Run(const v1::Command& command, const Context& context, Done done) {
  commands_.fetch_add(1, std::memory_order_relaxed);
  const std::uint64_t seq = command.seq();
  if (draining)
    return Fail(seq, absl::UnavailableError("this replica is draining; send it to another"), done);
  switch (command.action_case()) {
    case v1::Command::kDeliver:
      return RunDeliver(seq, command.deliver(), context, std::move(done));
    case v1::Command::kJoin:
      return RunJoin(seq, command.join().target(), command.join().topics(), true, std::move(done));
    case v1::Command::kLeave:
      return RunJoin(seq, command.leave().target(), command.leave().topics(), false,
                     std::move(done));
    case v1::Command::kDisconnect:
      return RunDisconnect(seq, command.disconnect(), std::move(done));
    case v1::Command::kSetLabels:
      return RunSetLabels(seq, command.set_labels(), std::move(done));
    case v1::Command::ACTION_NOT_SET:
      break;
  }
  Fail(seq,
       absl::InvalidArgumentError(
           "action is not set: one of deliver, join, leave, disconnect, set_labels"),
       done);
}

void CommandRunner::RunDeliver(std::uint64_t seq, const v1::Deliver& deliver,
                               const Context& context, Done done) {
  if (memory_full) {
    return Fail(
        seq, absl::ResourceExhaustedError("the server is at its memory limit (max_memory_bytes)"),
        done);
  }
  if (absl::Status later = CheckSupported(deliver, context.default_report); !later.ok())
    return Fail(seq, later, done);
  absl::StatusOr<Target> target = ParseTarget(deliver.target(), node_);
  if (!target.ok()) return Fail(seq, target.status(), done);
  MessageBody unchecked = ToBody(deliver.message());
  if (!context.traceparent.empty() && !deliver.message().attributes().contains("traceparent")) {
    unchecked.attributes.emplace_back("traceparent", context.traceparent);
  }
  absl::StatusOr<MessageBodyPtr> body = AcceptMessage(std::move(unchecked), max_message_bytes_);
  if (!body.ok()) return Fail(seq, body.status(), done);
  v1::CommandResult result;
  result.set_seq(seq);
  result.set_message_id((*body)->id);
  if (std::holds_alternative<SessionId>(target->to) ||
      std::holds_alternative<Selector>(target->to)) {
    return DeliverLive(std::move(result), *std::move(body), *target, deliver.require_online(),
                       std::move(done));
  }
  // With exceptions a message is live-only: a later resume could not tell who was excepted.
  const bool keep = !deliver.policy().skip_history() && target->except == nullptr;
  PublishOn(std::move(result), *std::move(body), TopicsOf(*target), std::move(target->except), keep,
            deliver.require_online(), std::move(done));
}

void CommandRunner::PublishOn(v1::CommandResult result, MessageBodyPtr body,
                              std::vector<std::string> topics, ExceptionsPtr except, bool keep,
                              bool require_online, Done done) {
  if (require_online) {
    // Asked before: what nobody is there for must not be kept either.
    std::uint64_t subscribers = 0;
    for (const std::string& topic : topics) subscribers += table_.index().Find(topic).subscribers;
    if (subscribers == 0) {
      SetStatus(NobodyMatched(), result);
      return done(std::move(result));
    }
  }
  struct Gathering {
    Mutex mutex;
    v1::CommandResult result ABSL_GUARDED_BY(mutex);
    Done done;
    bool require_online;
  };
  auto gathering = std::make_shared<Gathering>();
  {
    MutexLock lock(gathering->mutex);
    gathering->result = std::move(result);
  }
  gathering->done = std::move(done);
  gathering->require_online = require_online;
  // Answered once by each publication, and, where exceptions make counting the shards' work, by
  // each shard.
  const bool count_on_shards = except != nullptr;
  auto tally = std::make_shared<Tally>([gathering](std::uint64_t matched) {
    v1::CommandResult finished;
    {
      MutexLock lock(gathering->mutex);
      finished = std::move(gathering->result);
    }
    finished.set_matched(matched);
    if (matched == 0 && gathering->require_online && finished.code() == 0)
      SetStatus(NobodyMatched(), finished);
    gathering->done(std::move(finished));
  });
  for (std::string& topic : topics) {
    tally->Expect();
    std::string name = keep ? topic : std::string();
    broker_.Publish({body, std::move(topic), except, count_on_shards ? tally : nullptr, keep},
                    [gathering, tally, count_on_shards,
                     name = std::move(name)](absl::StatusOr<Published> published) {
                      if (count_on_shards && published.ok()) {
                        // The tally that went along gave one answer of its own for the publication.
                        return;
                      }
                      {
                        MutexLock lock(gathering->mutex);
                        if (!published.ok()) {
                          SetStatus(published.status(), gathering->result);
                        } else if (!published->position.empty()) {
                          *gathering->result.add_positions() = ToProto(published->position, name);
                        }
                      }
                      tally->Answer(published.ok() ? published->matched : 0);
                    });
  }
  tally->Answer(0);
}

void CommandRunner::DeliverLive(v1::CommandResult result, MessageBodyPtr body, const Target& target,
                                bool require_online, Done done) {
  const bool one_session = std::holds_alternative<SessionId>(target.to);
  const std::size_t bytes = body->payload.size();
  auto message = std::make_shared<const Message>(std::move(body), "", Position{});
  table_.ForEach(
      target, [message](Session& session) { session.Enqueue(*message); },
      [result = std::move(result), one_session, require_online,
       done = std::move(done)](std::uint64_t matched) mutable {
        result.set_matched(matched);
        if (matched == 0 && one_session) SetStatus(NoSuchSession(), result);
        if (matched == 0 && !one_session && require_online) SetStatus(NobodyMatched(), result);
        done(std::move(result));
      },
      bytes);
}

void CommandRunner::RunJoin(std::uint64_t seq, const v1::Target& unparsed,
                            const google::protobuf::RepeatedPtrField<std::string>& names, bool join,
                            Done done) {
  absl::StatusOr<Target> target = ParseTarget(unparsed, node_);
  if (!target.ok()) return Fail(seq, target.status(), done);
  absl::StatusOr<std::vector<std::string>> topics = ParseTopics(names, max_topics_, "topics");
  if (!topics.ok()) return Fail(seq, topics.status(), done);
  std::shared_ptr<Refused> refused(
      new Refused{{}, "are on as many topics as they may be (max_topics_per_session)"});
  table_.ForEach(
      *target,
      [topics = *std::move(topics), join, refused](Session& session) {
        if (join) {
          if (!session.Join(topics).ok()) refused->sessions.fetch_add(1);
          return;
        }
        for (const std::string& topic : topics) session.Leave(topic);
      },
      AnswerChange(seq, *target, refused, std::move(done)));
}

void CommandRunner::RunDisconnect(std::uint64_t seq, const v1::Disconnect& disconnect, Done done) {
  absl::StatusOr<Target> target = ParseTarget(disconnect.target(), node_);
  if (!target.ok()) return Fail(seq, target.status(), done);
  const std::uint32_t code = disconnect.code() == 0 ? 4410 : disconnect.code();
  const bool good = code == 1000 || code == 1001 || code == 1008 || code == 1012 || code == 1013 ||
                    (code >= 4000 && code <= 4999);
  if (!good)
    return Fail(
        seq,
        absl::InvalidArgumentError("code must be 1000, 1001, 1008, 1012, 1013 or 4000 to 4999"),
        done);
  if (disconnect.reason().size() > 123 || !IsValidUtf8(disconnect.reason())) {
    return Fail(seq, absl::InvalidArgumentError("reason must be at most 123 bytes of UTF-8"), done);
  }
  const absl::Duration delay = ToDuration(disconnect.reconnect_delay());
  if (delay < absl::ZeroDuration() || delay > absl::Hours(24)) {
    return Fail(seq, absl::InvalidArgumentError("reconnect_delay must be 0 to 24 hours"), done);
  }
  CloseRequest request{static_cast<CloseCode>(code), disconnect.reason(), {}};
  if (request.reason.empty()) request.reason = "disconnected by a producer";
  if (disconnect.reconnect() != v1::RECONNECT_UNSPECIFIED || disconnect.has_reconnect_delay()) {
    request.advice = ReconnectAdvice{disconnect.reconnect() == v1::RECONNECT_NO, delay};
  }
  table_.ForEach(
      *target, [request = std::move(request)](Session& session) { session.Close(request); },
      AnswerChange(seq, *target, nullptr, std::move(done)));
}

void CommandRunner::RunSetLabels(std::uint64_t seq, const v1::SetLabels& set_labels, Done done) {
  absl::StatusOr<Target> target = ParseTarget(set_labels.target(), node_);
  if (!target.ok()) return Fail(seq, target.status(), done);
  if (set_labels.set().empty() && set_labels.remove().empty()) {
    return Fail(seq, absl::InvalidArgumentError("set and remove are both empty"), done);
  }
  std::vector<std::pair<std::string, std::string>> set(set_labels.set().begin(),
                                                       set_labels.set().end());
  for (const auto& [key, value] : set) {
    absl::Status bad = ValidateLabel(key, value);
    if (bad.ok() && key.starts_with(kClientLabelPrefix)) {
      bad = absl::InvalidArgumentError("labels under client/ belong to the client");
    }
    if (!bad.ok())
      return Fail(seq,
                  absl::InvalidArgumentError(fmt::format("set: {}", std::string(bad.message()))),
                  done);
  }
  std::vector<std::string> remove(set_labels.remove().begin(), set_labels.remove().end());
  for (const std::string& key : remove) {
    absl::Status bad = ValidateLabelKey(key);
    if (bad.ok() && key.starts_with(kClientLabelPrefix)) {
      bad = absl::InvalidArgumentError("labels under client/ belong to the client");
    }
    if (!bad.ok()) {
      return Fail(seq,
                  absl::InvalidArgumentError(fmt::format("remove: {}", std::string(bad.message()))),
                  done);
    }
  }
  std::shared_ptr<Refused> refused(new Refused{{}, "would have more labels than they may"});
  table_.ForEach(
      *target,
      [set = std::move(set), remove = std::move(remove), refused](Session& session) {
        Labels labels = session.labels();
        for (const std::string& key : remove) labels.Erase(key);
        for (const auto& [key, value] : set) {
          if (!labels.Set(key, value).ok()) {
            refused->sessions.fetch_add(1);
            return;  // all or nothing
          }
        }
        session.mutable_labels() = std::move(labels);
      },
      AnswerChange(seq, *target, refused, std::move(done)));
}

}  // namespace herald
