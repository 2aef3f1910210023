#include "service/cluster_commands.h"

#include <utility>
#include <vector>

#include "fmt/format.h"
#include "fmt/ranges.h"
#include "herald/internal/v1/cluster.pb.h"
#include "service/convert.h"
#include "service/reach_wire.h"
#include "session/random.h"

namespace herald {
namespace {

constexpr std::string_view kCommand = "command";
constexpr std::string_view kSubscribers = "subscribers";

const v1::Target* TargetOf(const v1::Command& command) {
  switch (command.action_case()) {
    case v1::Command::kDeliver:
      return &command.deliver().target();
    case v1::Command::kJoin:
      return &command.join().target();
    case v1::Command::kLeave:
      return &command.leave().target();
    case v1::Command::kDisconnect:
      return &command.disconnect().target();
    case v1::Command::kSetLabels:
      return &command.set_labels().target();
    case v1::Command::ACTION_NOT_SET:
      break;
  }
  return nullptr;
}

// The same on all nodes.
void GiveMessageId(v1::Command& command, absl::Time now) {
  if (!command.has_deliver() || !command.deliver().message().id().empty()) return;
  MakeMessageId(absl::ToUnixMillis(now),
                *command.mutable_deliver()->mutable_message()->mutable_id());
}

internal::v1::RunCommand ToRequest(const v1::Command& command,
                                   const CommandRunner::Context& context) {
  internal::v1::RunCommand request;
  *request.mutable_command() = command;
  request.set_default_report(context.default_report);
  request.set_traceparent(context.traceparent);
  request.set_now_unix_nanos(absl::ToUnixNanos(context.now));
  if (context.reach) *request.mutable_reach() = ToWire(*context.reach);
  request.set_producer(context.producer);
  return request;
}

absl::StatusOr<v1::CommandResult> ToResult(absl::StatusOr<std::string> answer) {
  if (!answer.ok()) return answer.status();
  v1::CommandResult result;
  if (!result.ParseFromString(*answer)) return absl::InternalError("the answer is not readable");
  return result;
}

absl::Status NoAnswer(std::string_view node, const absl::Status& why) {
  return absl::UnavailableError(
      fmt::format("{}; node {} may have carried it out or not", std::string(why.message()), node));
}

void Refuse(const v1::Command& command, CommandRunner::Done done) {
  v1::CommandResult refused;
  refused.set_seq(command.seq());
  SetStatus(CommandRunner::Draining(), refused);
  done(std::move(refused));
}

}  // namespace

// The answers to one command of all nodes.
struct ClusterCommands::Gathering {
  Mutex mutex;
  std::size_t awaited ABSL_GUARDED_BY(mutex) = 1;
  v1::CommandResult result ABSL_GUARDED_BY(mutex);
  std::uint64_t matched ABSL_GUARDED_BY(mutex) = 0;
  std::vector<std::string> failures ABSL_GUARDED_BY(mutex);
  std::vector<std::string> unanswered ABSL_GUARDED_BY(mutex);
  bool change = false;
  bool require_online = false;
  CommandRunner* runner = nullptr;
  CommandRunner::Done done;

  void Expect(std::size_t nodes) {
    MutexLock lock(mutex);
    awaited += nodes;
  }
  void Own(v1::CommandResult own) {
    {
      MutexLock lock(mutex);
      matched += own.matched();
      if (own.code() != 0) failures.insert(failures.begin(), own.detail());
      // Codes of the others follow, if this one has none.
      if (result.code() != 0 && own.code() == 0) own.set_code(result.code());
      result = std::move(own);
    }
    Answered();
  }
  void Of(const std::string& node, const absl::StatusOr<v1::CommandResult>& theirs) {
    {
      MutexLock lock(mutex);
      if (!theirs.ok()) {
        unanswered.push_back(node);
      } else {
        matched += theirs->matched();
        if (theirs->code() != 0) {
          if (result.code() == 0) result.set_code(theirs->code());
          failures.push_back(fmt::format("node {}: {}", node, theirs->detail()));
        }
      }
    }
    Answered();
  }
  void Answered() {
    v1::CommandResult finished;
    {
      MutexLock lock(mutex);
      if (--awaited > 0) return;
      finished = std::move(result);
      finished.set_matched(matched);
      Judge(finished);
    }
    done(std::move(finished));
  }
  void Judge(v1::CommandResult& finished) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::vector<std::string> details = failures;
    for (const std::string& node : unanswered) {
      details.push_back(change
                            ? fmt::format("node {} did not answer: the change may have been made "
                                          "there or not",
                                          node)
                            : fmt::format("node {} did not answer: its sessions may have got it "
                                          "or not",
                                          node));
    }
    const std::string detail = fmt::format("{}", fmt::join(details, "; "));
    if (finished.code() != 0) {
      finished.clear_message_id();
      return finished.set_detail(detail);
    }
    if (!change && matched == 0) {
      runner->CountNobody(nullptr);
      if (require_online && unanswered.empty())
        return SetStatus(absl::NotFoundError("nobody matched the target (no_session)"), finished);
    }
    if (!unanswered.empty() && (change || (require_online && matched == 0)))
      return SetStatus(absl::UnavailableError(detail), finished);
    finished.set_detail(detail);
  }
};

ClusterCommands::ClusterCommands(Cluster& cluster, ReceiptRelay& relay, CommandRunner& runner,
                                 SessionTable& table)
    : cluster_(cluster), relay_(relay), runner_(runner), table_(table) {
  cluster.Handle(std::string(kCommand),
                 [this](std::string_view, std::string request, Cluster::Answer answer) {
                   OnCommand(std::move(request), std::move(answer));
                 });
  cluster.Handle(std::string(kSubscribers),
                 [this](std::string_view, const std::string& request, Cluster::Answer answer) {
                   OnCount(request, std::move(answer));
                 });
  runner.beyond_ = this;
}

bool ClusterCommands::AsksFirst(const v1::Command& command) {
  if (!command.has_deliver() || !command.deliver().require_online()) return false;
  const v1::Target& target = command.deliver().target();
  return !target.has_session_id() && !target.has_selector();
}

bool ClusterCommands::Run(v1::Command& command, const CommandRunner::Context& context,
                          CommandRunner::Later later, CommandRunner::Report& report) {
  const v1::Target* target = TargetOf(command);
  if (target == nullptr) return false;
  if (CommandRunner::IsChange(command)) {
    runner_.commands_.fetch_add(1, std::memory_order_relaxed);
    cluster_.Barrier([this, command = std::move(command), context, done = later()]() mutable {
      RunChange(command, context, std::move(done));
    });
    return true;
  }
  if (target->has_session_id()) {
    const absl::StatusOr<ParsedSessionId> id = ParseSessionId(target->session_id());
    if (!id.ok() || id->node == cluster_.self()) return false;
    runner_.commands_.fetch_add(1, std::memory_order_relaxed);
    AskOwner(std::string(id->node), command, context, later(), report);
    return true;
  }
  if (AsksFirst(command)) return AskWhoIsThere(command, context, later, report);
  if (!target->has_selector()) return false;
  const std::vector<std::string> peers = cluster_.peers();
  if (peers.empty()) return false;
  runner_.commands_.fetch_add(1, std::memory_order_relaxed);
  Scatter(command, context, later(), report, peers);
  return true;
}

void ClusterCommands::RunChange(v1::Command& command, const CommandRunner::Context& context,
                                CommandRunner::Done done) {
  const v1::Target* target = TargetOf(command);
  CommandRunner::Report none;
  bool here = false;
  if (target->has_session_id()) {
    const absl::StatusOr<ParsedSessionId> id = ParseSessionId(target->session_id());
    here = !id.ok() || id->node == cluster_.self();
    if (!here) return AskOwner(std::string(id->node), command, context, std::move(done), none);
  }
  const std::vector<std::string> peers = here ? std::vector<std::string>() : cluster_.peers();
  Scatter(command, context, std::move(done), none, peers);
}

ReceiptPtr ClusterCommands::MakeReceipt(const v1::Command& command,
                                        const CommandRunner::Context& context,
                                        CommandRunner::Done& done, CommandRunner::Report& report) {
  if (!CommandRunner::AsksReport(command, context)) return nullptr;
  return runner_.MakeReceipt(command.seq(), command.deliver(),
                             CommandRunner::LevelOf(command.deliver(), context), done,
                             std::move(report));
}

void ClusterCommands::AskOwner(const std::string& node, v1::Command& command,
                               const CommandRunner::Context& context, CommandRunner::Done done,
                               CommandRunner::Report& report) {
  if (runner_.draining) return Refuse(command, std::move(done));
  GiveMessageId(command, context.now);
  internal::v1::RunCommand request = ToRequest(command, context);
  if (const ReceiptPtr receipt = MakeReceipt(command, context, done, report))
    request.set_receipt(relay_.Expect(receipt, {node}));
  cluster_.Ask(
      node, kCommand, request.SerializeAsString(), kDeadline,
      [seq = command.seq(), node, beyond = context.beyond_reach,
       done = std::move(done)](absl::StatusOr<std::string> answer) mutable {
        absl::StatusOr<v1::CommandResult> result = ToResult(std::move(answer));
        if (!result.ok()) {
          const bool unknown = absl::IsNotFound(result.status());
          const absl::Status why = unknown ? NoSuchSession() : NoAnswer(node, result.status());
          result = v1::CommandResult();
          SetStatus(why, *result);
        }
        result->set_seq(seq);
        if (beyond && result->code() == static_cast<int>(absl::StatusCode::kPermissionDenied))
          beyond->fetch_add(1, std::memory_order_relaxed);
        done(*std::move(result));
      });
}

void ClusterCommands::Scatter(v1::Command& command, const CommandRunner::Context& context,
                              CommandRunner::Done done, CommandRunner::Report& report,
                              const std::vector<std::string>& peers) {
  if (runner_.draining) return Refuse(command, std::move(done));
  auto gathering = std::make_shared<Gathering>();
  gathering->change = CommandRunner::IsChange(command);
  gathering->require_online = command.deliver().require_online();
  gathering->runner = &runner_;
  if (command.has_deliver()) command.mutable_deliver()->set_require_online(false);
  GiveMessageId(command, context.now);
  internal::v1::RunCommand request = ToRequest(command, context);

  CommandRunner::Context local = context;
  local.local_only = true;
  local.receipt = MakeReceipt(command, context, done, report);
  gathering->done = std::move(done);
  gathering->Expect(1);
  v1::CommandResult refused;
  const auto later = [&]() -> CommandRunner::Done {
    return [gathering](v1::CommandResult result) { gathering->Own(std::move(result)); };
  };
  // First, since it checks the command: what is bad goes nowhere.
  if (runner_.Run(command, local, refused, later)) {
    gathering->Own(std::move(refused));
    return gathering->Answered();
  }
  if (local.receipt) request.set_receipt(relay_.Expect(local.receipt, peers));
  gathering->Expect(peers.size());
  const std::string bytes = request.SerializeAsString();
  for (const std::string& node : peers) {
    cluster_.Ask(node, kCommand, bytes, kDeadline,
                 [gathering, node](absl::StatusOr<std::string> answer) {
                   gathering->Of(node, ToResult(std::move(answer)));
                 });
  }
  gathering->Answered();
}

void ClusterCommands::OnCommand(std::string request, Cluster::Answer answer) {
  internal::v1::RunCommand run;
  if (!run.ParseFromString(request))
    return answer(absl::InvalidArgumentError("the command is not readable"));
  CommandRunner::Context context;
  context.local_only = true;
  context.default_report = run.default_report();
  context.traceparent = run.traceparent();
  context.now = absl::FromUnixNanos(run.now_unix_nanos());
  if (run.has_reach()) context.reach = FromWire(run.reach());
  context.producer = run.producer();
  context.of_another_node = true;
  if (!run.receipt().empty()) context.receipt = relay_.Incoming(run.receipt(), 0);
  runner_.Run(std::move(*run.mutable_command()), context,
              [answer = std::move(answer),
               receipt = context.receipt](const v1::CommandResult& result) mutable {
                answer(result.SerializeAsString());
                if (receipt) receipt->Release();
              });
}

bool ClusterCommands::AskWhoIsThere(v1::Command& command, const CommandRunner::Context& context,
                                    CommandRunner::Later later, CommandRunner::Report& report) {
  const absl::StatusOr<Target> target = ParseTarget(command.deliver().target(), cluster_.self());
  if (!target.ok()) return false;  // told as ever
  internal::v1::CountSubscribers request;
  std::uint64_t here = 0;
  for (const std::string& topic : TopicsOf(*target)) {
    here += table_.index().Find(topic).subscribers;
    request.add_topics(topic);
  }
  if (here > 0 || cluster_.peers().empty()) return false;
  const std::uint64_t seq = command.seq();
  cluster_.AskAll(
      kSubscribers, request.SerializeAsString(), kDeadline,
      [this, seq, command = std::move(command), context, done = later(),
       report = std::move(report)](const Cluster::Answers& answers) mutable {
        std::uint64_t there = 0;
        for (const auto& [_, answer] : answers.by_node) {
          internal::v1::SubscriberCount count;
          if (count.ParseFromString(answer)) there += count.subscribers();
        }
        if (there > 0) {
          // Nobody needs to be asked for any more.
          command.mutable_deliver()->set_require_online(false);
          return runner_.Run(std::move(command), context, std::move(done), std::move(report));
        }
        v1::CommandResult nobody;
        nobody.set_seq(seq);
        if (answers.unanswered.empty()) {
          runner_.CountNobody(nullptr);
          SetStatus(absl::NotFoundError("nobody matched the target (no_session)"), nobody);
        } else {
          SetStatus(absl::UnavailableError(
                        fmt::format("nobody matched on the nodes that answered; these did not: {}",
                                    fmt::join(answers.unanswered, ", "))),
                    nobody);
        }
        done(std::move(nobody));
      });
  return true;
}

void ClusterCommands::OnCount(const std::string& request, Cluster::Answer answer) {
  internal::v1::CountSubscribers asked;
  if (!asked.ParseFromString(request))
    return answer(absl::InvalidArgumentError("the question is not readable"));
  internal::v1::SubscriberCount count;
  for (const std::string& topic : asked.topics())
    count.set_subscribers(count.subscribers() + table_.index().Find(topic).subscribers);
  answer(count.SerializeAsString());
}

}  // namespace herald
