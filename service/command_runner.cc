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
absl::Status NobodyMatched() {
  return absl::NotFoundError("nobody matched the target (no_session)");
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

// Straight to sessions, without a topic.
bool IsLive(const Target& target) {
  return std::holds_alternative<SessionId>(target.to) ||
         std::holds_alternative<Selector>(target.to);
}

constexpr absl::Duration kDefaultReportTimeout = absl::Seconds(5);
constexpr absl::Duration kMaxReportTimeout = absl::Minutes(1);

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

void CommandRunner::Run(const v1::Command& command, const Context& context, Done done,
                        Report report) {
  commands_.fetch_add(1, std::memory_order_relaxed);
  const std::uint64_t seq = command.seq();
  if (draining)
    return Fail(seq, absl::UnavailableError("this replica is draining; send it to another"), done);
  switch (command.action_case()) {
    case v1::Command::kDeliver:
      return RunDeliver(seq, command.deliver(), context, std::move(done), std::move(report));
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

absl::StatusOr<CommandRunner::Accepted> CommandRunner::Accept(const v1::Deliver& deliver,
                                                              const Context& context) const {
  Accepted accepted;
  if (absl::Status bad = CheckIdempotencyKey("idempotency_key", deliver.idempotency_key());
      !bad.ok()) {
    return bad;
  }
  absl::StatusOr<Target> target = ParseTarget(deliver.target(), node_);
  if (!target.ok()) return target.status();
  accepted.target = *std::move(target);
  absl::StatusOr<DeliveryOptions> options = ParsePolicy(deliver.policy(), absl::Now());
  if (!options.ok()) return options.status();
  if (*options != DeliveryOptions{})
    accepted.options = std::make_shared<const DeliveryOptions>(*std::move(options));
  MessageBody unchecked = ToBody(deliver.message());
  if (!context.traceparent.empty() && !deliver.message().attributes().contains("traceparent"))
    unchecked.attributes.emplace_back("traceparent", context.traceparent);
  absl::StatusOr<MessageBodyPtr> body = AcceptMessage(std::move(unchecked), max_message_bytes_);
  if (!body.ok()) return body.status();
  accepted.body = *std::move(body);
  // With exceptions a message is live-only: a later resume could not tell who was excepted.
  accepted.keep = !deliver.policy().skip_history() && accepted.target.except == nullptr &&
                  !IsLive(accepted.target);
  accepted.require_online = deliver.require_online();
  return accepted;
}

absl::Status CommandRunner::CheckReport(const v1::Deliver& deliver, v1::ReportLevel level,
                                        const Accepted& message) const {
  if (!v1::ReportLevel_IsValid(level)) return absl::InvalidArgumentError("report is no level");
  if (level <= v1::REPORT_LEVEL_ACCEPTED) return absl::OkStatus();
  if (deliver.has_report_timeout()) {
    const absl::Duration timeout = ToDuration(deliver.report_timeout());
    if (timeout <= absl::ZeroDuration() || timeout > kMaxReportTimeout) {
      return absl::InvalidArgumentError("report_timeout must be over 0 and at most 1 minute");
    }
  }
  if (level != v1::REPORT_LEVEL_ACKED) return absl::OkStatus();
  // Clients acknowledge offsets.
  if (!message.keep) {
    return absl::InvalidArgumentError(
        "report: ACKED needs a message that is kept, so no target session_id or selector, no "
        "exceptions and no policy.skip_history; ask for WRITTEN");
  }
  for (const std::string& topic : TopicsOf(message.target)) {
    if (broker_.HasHistory(topic)) continue;
    return absl::InvalidArgumentError(fmt::format(
        "report: ACKED needs history, and the rule of topic {} has history_size 0; ask for WRITTEN",
        topic));
  }
  return absl::OkStatus();
}

ReceiptPtr CommandRunner::MakeReceipt(std::uint64_t seq, const v1::Deliver& deliver,
                                      v1::ReportLevel level, Done& done, Report report) {
  auto receipt = std::make_shared<Receipt>(
      level == v1::REPORT_LEVEL_ACKED ? Receipt::Level::kAcked : Receipt::Level::kWritten,
      [this, seq, report = std::move(report)](const Receipt::Counts& counts) mutable {
        timeouts_.fetch_add(counts.dropped[static_cast<std::size_t>(DropReason::kTimeout)],
                            std::memory_order_relaxed);
        report(ToProto(counts, seq));
      });
  const absl::Time deadline =
      absl::Now() +
      (deliver.has_report_timeout() ? ToDuration(deliver.report_timeout()) : kDefaultReportTimeout);
  done = [this, receipt, deadline, done = std::move(done)](v1::CommandResult result) mutable {
    const bool ok = result.code() == 0;
    if (!ok) receipt->Cancel();
    done(std::move(result));
    if (!ok) return;
    clock_.Schedule(receipt, deadline);
    receipt->Release();
  };
  return receipt;
}

void CommandRunner::RunDeliver(std::uint64_t seq, const v1::Deliver& deliver,
                               const Context& context, Done done, Report report) {
  if (memory_full) {
    return Fail(
        seq, absl::ResourceExhaustedError("the server is at its memory limit (max_memory_bytes)"),
        done);
  }
  absl::StatusOr<Accepted> message = Accept(deliver, context);
  if (!message.ok()) return Fail(seq, message.status(), done);
  const v1::ReportLevel level = LevelOf(deliver, context);
  if (absl::Status bad = CheckReport(deliver, level, *message); !bad.ok())
    return Fail(seq, bad, done);
  if (level > v1::REPORT_LEVEL_ACCEPTED) {
    auto options = std::make_shared<DeliveryOptions>();
    if (message->options) *options = *message->options;
    options->receipt = MakeReceipt(seq, deliver, level, done, std::move(report));
    message->options = std::move(options);
  }
  v1::CommandResult result;
  result.set_seq(seq);
  result.set_message_id(message->body->id);
  if (IsLive(message->target)) {
    DeliverLive(std::move(result), *std::move(message), std::move(done));
  } else {
    PublishOn(std::move(result), *std::move(message), std::move(done));
  }
}

void CommandRunner::PublishOn(v1::CommandResult result, Accepted message, Done done) {
  std::vector<std::string> topics = TopicsOf(message.target);
  const ExceptionsPtr& except = message.target.except;
  if (message.require_online) {
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
  gathering->require_online = message.require_online;
  // Answered once by each publication, and, where exceptions make counting the shards' work, by
  // each shard.
  const bool count_on_shards = except != nullptr;
  auto tally = std::make_shared<Tally>([this, gathering](std::uint64_t matched) {
    v1::CommandResult finished;
    {
      MutexLock lock(gathering->mutex);
      finished = std::move(gathering->result);
    }
    finished.set_matched(matched);
    if (matched == 0) no_session_.fetch_add(1, std::memory_order_relaxed);
    if (matched == 0 && gathering->require_online && finished.code() == 0)
      SetStatus(NobodyMatched(), finished);
    gathering->done(std::move(finished));
  });
  Receipt* const receipt = message.options ? message.options->receipt.get() : nullptr;
  for (std::string& topic : topics) {
    tally->Expect();
    std::string name = message.keep ? topic : std::string();
    broker_.Publish({message.body, std::move(topic), except, count_on_shards ? tally : nullptr,
                     message.keep, message.options},
                    [gathering, tally, count_on_shards, receipt,
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
                      const std::uint64_t matched = published.ok() ? published->matched : 0;
                      // Lives: `gathering->done` holds it.
                      if (receipt != nullptr && matched == 0) receipt->NoSession();
                      tally->Answer(matched);
                    });
  }
  tally->Answer(0);
}

void CommandRunner::DeliverLive(v1::CommandResult result, Accepted message, Done done) {
  const bool one_session = std::holds_alternative<SessionId>(message.target.to);
  const std::size_t bytes = message.body->payload.size();
  table_.ForEach(
      message.target,
      [message = std::make_shared<const Message>(std::move(message.body), "", Position{},
                                                 std::move(message.options))](Session& session) {
        Receipt* const receipt = message->receipt();
        if (receipt != nullptr) receipt->Matched();
        session.Deliver(message, Overflow::kDisconnect,
                        receipt != nullptr ? Tracking::kCounted : Tracking::kNone);
      },
      [this, result = std::move(result), one_session, require_online = message.require_online,
       done = std::move(done)](std::uint64_t matched) mutable {
        result.set_matched(matched);
        if (matched == 0) no_session_.fetch_add(1, std::memory_order_relaxed);
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
