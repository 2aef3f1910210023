#include "service/command_runner.h"

#include <algorithm>

#include "fmt/format.h"
#include "service/ban_command.h"
#include "service/cluster_commands.h"
#include "service/convert.h"
#include "service/idempotency.h"
#include "session/topic_name.h"
#include "session/utf8.h"

namespace herald {
namespace {

// Keys that one SetLabels may remove: a session has at most kMaxLabels, but not all have the same.
constexpr int kMaxRemovedLabels = 128;

// The answer is there.
bool Fail(const absl::Status& status, v1::CommandResult& result) {
  SetStatus(status, result);
  return true;
}

// How many sessions could not be changed, counted on several shards at once, and why.
struct Refused {
  std::atomic<std::uint64_t> sessions{0};
  const std::string_view why;
  std::uint64_t subscriptions = 0;  // that the broker did not make
};

// Answers a command that changes sessions once all shards have.
SessionTable::Done AnswerChange(std::uint64_t seq, const Target& target,
                                std::shared_ptr<WithinReach> within,
                                std::shared_ptr<Refused> refused, CommandRunner::Done done) {
  const bool one_session = std::holds_alternative<SessionId>(target.to);
  return [seq, one_session, within = std::move(within), refused = std::move(refused),
          done = std::move(done)](std::uint64_t matched) mutable {
    v1::CommandResult result;
    result.set_seq(seq);
    result.set_matched(matched);
    if (matched == 0 && one_session) SetStatus(NotMet(within.get()), result);
    if (refused && refused->sessions > 0) {
      SetStatus(absl::ResourceExhaustedError(fmt::format(
                    "{} of {} sessions {}", refused->sessions.load(), matched, refused->why)),
                result);
    } else if (refused && refused->subscriptions > 0) {
      SetStatus(
          absl::UnavailableError(fmt::format(
              "{} subscriptions did not come about: the broker is away", refused->subscriptions)),
          result);
    }
    done(std::move(result));
  };
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

bool CommandRunner::HoldsTheOthers(const v1::Command& command) const {
  return beyond_ != nullptr && ClusterCommands::AsksFirst(command);
}

bool CommandRunner::Run(v1::Command& command, const Context& context, v1::CommandResult& result,
                        Later later, Report report) {
  result.set_seq(command.seq());
  if (!context.local_only) {
    if (beyond_ != nullptr && beyond_->Run(command, context, later, report)) return false;
    commands_.fetch_add(1, std::memory_order_relaxed);
    if (draining) return Fail(Draining(), result);
  }
  switch (command.action_case()) {
    case v1::Command::kDeliver:
      return RunDeliver(*command.mutable_deliver(), context, result, later, std::move(report));
    case v1::Command::kJoin:
      return RunJoin(command.join().target(), command.join().topics(), true, context, result,
                     later);
    case v1::Command::kLeave:
      return RunJoin(command.leave().target(), command.leave().topics(), false, context, result,
                     later);
    case v1::Command::kDisconnect:
      return RunDisconnect(command.disconnect(), context, result, later);
    case v1::Command::kSetLabels:
      return RunSetLabels(command.set_labels(), context, result, later);
    case v1::Command::ACTION_NOT_SET:
      break;
  }
  return Fail(absl::InvalidArgumentError(
                  "action is not set: one of deliver, join, leave, disconnect, set_labels"),
              result);
}

std::shared_ptr<WithinReach> CommandRunner::WithinReachOf(const Context& context) {
  if (!context.reach) return nullptr;
  return std::make_shared<WithinReach>(context.reach, context.beyond_reach);
}

bool CommandRunner::RunJoin(const v1::Target& unparsed,
                            const google::protobuf::RepeatedPtrField<std::string>& names, bool join,
                            const Context& context, v1::CommandResult& result, Later later) {
  absl::StatusOr<Target> target = ParseTarget(unparsed, node_);
  if (!target.ok()) return Fail(target.status(), result);
  absl::StatusOr<std::vector<std::string>> topics = ParseTopics(names, max_topics_, "topics");
  if (!topics.ok()) return Fail(topics.status(), result);
  std::shared_ptr<Refused> refused(
      new Refused{{}, "are on as many topics as they may be (max_topics_per_session)"});
  const std::shared_ptr<WithinReach> within = WithinReachOf(context);
  SessionTable::Done answer = AnswerChange(result.seq(), *target, within, refused, later());
  if (!join) {
    WithinReach::ForEach(
        table_, *target, within,
        [topics = *std::move(topics)](Session& session) {
          for (const std::string& topic : topics) session.Leave(topic);
        },
        std::move(answer));
    return false;
  }
  // Answered when the broker has subscribed them all, so that what follows reaches them.
  auto matched = std::make_shared<std::uint64_t>(0);
  auto joins = std::make_shared<Joins>(
      [matched, refused, answer = std::move(answer)](std::uint64_t failed) mutable {
        refused->subscriptions = failed;
        answer(*matched);
      });
  WithinReach::ForEach(
      table_, *target, within,
      [topics = *std::move(topics), refused, joins](Session& session) {
        joins->in_force.Expect();
        if (!session.Join(topics, joins).ok()) refused->sessions.fetch_add(1);
      },
      [matched, joins](std::uint64_t sessions) {
        *matched = sessions;
        joins->in_force.Answer(0);
      });
  return false;
}

bool CommandRunner::RunDisconnect(const v1::Disconnect& disconnect, const Context& context,
                                  v1::CommandResult& result, Later later) {
  absl::StatusOr<Target> target = ParseTarget(disconnect.target(), node_);
  if (!target.ok()) return Fail(target.status(), result);
  const std::uint32_t code = disconnect.code() == 0 ? 4410 : disconnect.code();
  const bool good = code == 1000 || code == 1001 || code == 1008 || code == 1012 || code == 1013 ||
                    (code >= 4000 && code <= 4999);
  if (!good)
    return Fail(
        absl::InvalidArgumentError("code must be 1000, 1001, 1008, 1012, 1013 or 4000 to 4999"),
        result);
  if (disconnect.reason().size() > 123 || !IsValidUtf8(disconnect.reason())) {
    return Fail(absl::InvalidArgumentError("reason must be at most 123 bytes of UTF-8"), result);
  }
  const absl::Duration delay = ToDuration(disconnect.reconnect_delay());
  if (delay < absl::ZeroDuration() || delay > absl::Hours(24)) {
    return Fail(absl::InvalidArgumentError("reconnect_delay must be 0 to 24 hours"), result);
  }
  const auto bans = ParseBans(disconnect, *target, context.now, context.producer);
  if (!bans.ok()) return Fail(bans.status(), result);
  CloseRequest request{static_cast<CloseCode>(code), disconnect.reason(), {}};
  if (request.reason.empty()) request.reason = "disconnected by a producer";
  if (disconnect.reconnect() != v1::RECONNECT_UNSPECIFIED || disconnect.has_reconnect_delay()) {
    request.advice = ReconnectAdvice{disconnect.reconnect() == v1::RECONNECT_NO, delay};
  }
  absl::Status banned;
  if (!bans->empty()) {
    if (bans_ == nullptr) return Fail(absl::UnimplementedError("ban_for: no bans here"), result);
    // First: a session that opens after the others were closed finds it.
    banned = bans_->Add(*bans, context.now);
    if (on_ban_ && !context.of_another_node) on_ban_(context.producer, *bans, banned);
    if (!request.advice && disconnect.token_id().empty() && banned.ok()) {
      const absl::Duration ban = std::min(ToDuration(disconnect.ban_for()), absl::Hours(24));
      request.advice = ReconnectAdvice{false, ban};
    }
  }
  // The sessions are closed in any case; that the ban does not hold is the answer.
  const auto done = [&]() -> Done {
    if (banned.ok()) return later();
    return [banned, done = later()](v1::CommandResult result) mutable {
      SetStatus(banned, result);
      done(std::move(result));
    };
  };
  const std::shared_ptr<WithinReach> within = WithinReachOf(context);
  if (disconnect.token_id().empty()) {
    WithinReach::ForEach(
        table_, *target, within,
        [request = std::move(request)](Session& session) { session.Close(request); },
        AnswerChange(result.seq(), *target, within, nullptr, done()));
    return false;
  }
  const auto closed = std::make_shared<std::atomic<std::uint64_t>>(0);
  WithinReach::ForEach(
      table_, *target, within,
      [request = std::move(request), token_id = disconnect.token_id(), closed](Session& session) {
        if (!session.HasToken(token_id)) return;
        closed->fetch_add(1);
        session.Close(request);
      },
      [closed, answer = AnswerChange(result.seq(), *target, within, nullptr, done())](
          std::uint64_t) mutable { answer(closed->load()); });
  return false;
}

bool CommandRunner::RunSetLabels(const v1::SetLabels& set_labels, const Context& context,
                                 v1::CommandResult& result, Later later) {
  absl::StatusOr<Target> target = ParseTarget(set_labels.target(), node_);
  if (!target.ok()) return Fail(target.status(), result);
  if (set_labels.set().empty() && set_labels.remove().empty()) {
    return Fail(absl::InvalidArgumentError("set and remove are both empty"), result);
  }
  // Each entry is looked up in each session that is meant.
  if (set_labels.set().size() > kMaxLabels) {
    return Fail(absl::InvalidArgumentError(fmt::format("set has {} entries, over the limit of {}",
                                                       set_labels.set().size(), kMaxLabels)),
                result);
  }
  if (set_labels.remove_size() > kMaxRemovedLabels) {
    return Fail(
        absl::InvalidArgumentError(fmt::format("remove has {} entries, over the limit of {}",
                                               set_labels.remove_size(), kMaxRemovedLabels)),
        result);
  }
  std::vector<std::pair<std::string, std::string>> set(set_labels.set().begin(),
                                                       set_labels.set().end());
  for (const auto& [key, value] : set) {
    absl::Status bad = ValidateLabel(key, value);
    if (bad.ok() && key.starts_with(kClientLabelPrefix)) {
      bad = absl::InvalidArgumentError("labels under client/ belong to the client");
    }
    if (!bad.ok())
      return Fail(absl::InvalidArgumentError(fmt::format("set: {}", std::string(bad.message()))),
                  result);
  }
  std::vector<std::string> remove(set_labels.remove().begin(), set_labels.remove().end());
  for (const std::string& key : remove) {
    absl::Status bad = ValidateLabelKey(key);
    if (bad.ok() && key.starts_with(kClientLabelPrefix)) {
      bad = absl::InvalidArgumentError("labels under client/ belong to the client");
    }
    if (!bad.ok()) {
      return Fail(absl::InvalidArgumentError(fmt::format("remove: {}", std::string(bad.message()))),
                  result);
    }
  }
  std::shared_ptr<Refused> refused(new Refused{{}, "would have more labels than they may"});
  const std::shared_ptr<WithinReach> within = WithinReachOf(context);
  WithinReach::ForEach(
      table_, *target, within,
      [set = std::move(set), remove = std::move(remove), refused](Session& session) {
        Labels labels = session.labels();
        for (const std::string& key : remove) labels.Erase(key);
        for (const auto& [key, value] : set) {
          if (!labels.Set(key, value).ok()) {
            refused->sessions.fetch_add(1);
            return;  // all or nothing
          }
        }
        session.set_labels(std::move(labels));
      },
      AnswerChange(result.seq(), *target, within, refused, later()));
  return false;
}

}  // namespace herald
