// heraldctl send: one message, one answer.

#include <fmt/format.h>

#include <cstdio>
#include <map>
#include <optional>
#include <string>

#include "cli/commands.h"
#include "cli/files.h"
#include "cli/flags.h"
#include "cli/output.h"
#include "cli/table.h"
#include "cli/target_flags.h"
#include "cli/text.h"
#include "herald/v1/push_service.grpc.pb.h"

namespace herald::cli {
namespace {

// Far above any server's limit; it only keeps `--file /dev/zero` from filling the memory.
constexpr std::size_t kMaxPayloadBytes = 64 << 20;
constexpr absl::Duration kDefaultReportTimeout = absl::Seconds(5);

struct SendFlags {
  TargetFlags target;
  std::string payload;
  CLI::Option* payload_given = nullptr;
  std::string file;
  std::string event;
  std::string content_type;
  std::map<std::string, std::string> attributes;
  std::string id;
  std::string idempotency_key;
  std::optional<absl::Duration> ttl;
  int priority = 0;
  std::string collapse_key;
  bool skip_history = false;
  int overflow = 0;
  int report = 0;
  std::optional<absl::Duration> report_timeout;
  bool require_online = false;
};

absl::StatusOr<std::string> Payload(const SendFlags& flags) {
  const bool argument = flags.payload_given->count() > 0;
  if (argument == !flags.file.empty()) {
    return absl::InvalidArgumentError(
        argument ? "a payload and --file: give one of them"
                 : "no payload; give it as an argument, or --file F, or - for stdin");
  }
  if (argument && flags.payload != "-") return flags.payload;
  return ReadFile(argument ? "-" : flags.file, kMaxPayloadBytes);
}

absl::StatusOr<v1::SendRequest> BuildRequest(const SendFlags& flags) {
  auto target = flags.target.Build();
  if (!target.ok()) return target.status();
  auto payload = Payload(flags);
  if (!payload.ok()) return payload.status();

  v1::SendRequest request;
  request.mutable_command()->set_seq(1);
  v1::Deliver& deliver = *request.mutable_command()->mutable_deliver();
  *deliver.mutable_target() = *std::move(target);
  v1::Message& message = *deliver.mutable_message();
  message.set_payload(*std::move(payload));
  message.set_id(flags.id);
  message.set_event(flags.event);
  message.set_content_type(flags.content_type);
  message.mutable_attributes()->insert(flags.attributes.begin(), flags.attributes.end());
  v1::Policy& policy = *deliver.mutable_policy();
  if (flags.ttl) *policy.mutable_ttl() = ToProto(*flags.ttl);
  policy.set_priority(static_cast<v1::Priority>(flags.priority));
  policy.set_collapse_key(flags.collapse_key);
  policy.set_skip_history(flags.skip_history);
  policy.set_overflow(static_cast<v1::Overflow>(flags.overflow));
  deliver.set_report(static_cast<v1::ReportLevel>(flags.report));
  if (flags.report_timeout) *deliver.mutable_report_timeout() = ToProto(*flags.report_timeout);
  deliver.set_idempotency_key(flags.idempotency_key);
  deliver.set_require_online(flags.require_online);
  return request;
}

std::string ResponseText(const v1::SendResponse& response) {
  const v1::CommandResult& result = response.result();
  Facts facts;
  facts.Add("matched", Thousands(result.matched()));
  facts.Add("message", result.message_id());
  for (const v1::Position& position : result.positions()) {
    facts.Add("position", fmt::format("{} at {}  {}", position.topic(),
                                      Thousands(position.offset()), position.token()));
  }
  if (result.duplicate()) facts.Add("duplicate", "yes: taken before, not delivered again");
  if (response.has_receipt()) {
    const v1::Receipt& receipt = response.receipt();
    facts.Add("reached",
              fmt::format("{} matched, {} written, {} acked", Thousands(receipt.matched()),
                          Thousands(receipt.written()), Thousands(receipt.acked())));
    facts.Add("dropped", DroppedText(receipt.dropped()));
  }
  return facts.Text();
}

ExitCode Send(const SendFlags& flags, const GlobalOptions& globals) {
  const auto request = BuildRequest(flags);
  if (!request.ok()) return UsageError(request.status());
  const auto connection = Connection::Open(globals.connection);
  if (!connection.ok()) return UsageError(connection.status());

  const bool waits = flags.report > v1::REPORT_LEVEL_ACCEPTED;
  const auto context = connection->CallContext(
      waits ? flags.report_timeout.value_or(kDefaultReportTimeout) : absl::ZeroDuration());
  v1::SendResponse response;
  const auto stub = v1::PushService::NewStub(connection->channel());
  const grpc::Status status = stub->Send(context.get(), *request, &response);
  if (!status.ok()) return connection->Report(status);
  globals.json ? PrintJson(response) : Print(ResponseText(response));
  return kOk;
}

}  // namespace

Action DeclareSend(CLI::App& app) {
  auto flags = std::make_shared<SendFlags>();
  flags->target.Declare(app);
  flags->payload_given =
      app.add_option("payload", flags->payload, "What to send; - reads stdin")->type_name("");
  app.add_option("--file", flags->file, "Read the payload from this file")->option_text("FILE");
  const char* message = "Message";
  app.add_option("--event", flags->event, "Event name for client code")
      ->option_text("NAME")
      ->group(message);
  app.add_option("--content-type", flags->content_type, "MIME type [found from the payload]")
      ->option_text("TYPE")
      ->group(message);
  AddPairs(app, "--attribute", flags->attributes, "May be repeated")->group(message);
  app.add_option("--id", flags->id, "Message id [made by the server]")
      ->option_text("ID")
      ->group(message);
  const char* policy = "Policy";
  app.add_option("--idempotency-key", flags->idempotency_key, "Makes a retry safe")
      ->option_text("KEY")
      ->group(policy);
  AddDuration(app, "--ttl", flags->ttl, "Drop it when older")->group(policy);
  AddChoice(app, "--priority", flags->priority,
            {{"normal", v1::PRIORITY_NORMAL}, {"high", v1::PRIORITY_HIGH}},
            "high goes before other topics' messages")
      ->group(policy);
  app.add_option("--collapse-key", flags->collapse_key, "Replaces an unsent one of this key")
      ->option_text("KEY")
      ->group(policy);
  app.add_flag("--skip-history", flags->skip_history, "Live only")->group(policy);
  AddChoice(app, "--overflow", flags->overflow,
            {{"disconnect", v1::OVERFLOW_DISCONNECT},
             {"drop_oldest", v1::OVERFLOW_DROP_OLDEST},
             {"drop_newest", v1::OVERFLOW_DROP_NEWEST}},
            "For slow sessions")
      ->group(policy);
  const char* report = "Report";
  AddChoice(app, "--report", flags->report,
            {{"accepted", v1::REPORT_LEVEL_ACCEPTED},
             {"written", v1::REPORT_LEVEL_WRITTEN},
             {"acked", v1::REPORT_LEVEL_ACKED}},
            "Wait for a receipt")
      ->group(report);
  AddDuration(app, "--report-timeout", flags->report_timeout, "At most this long [5s]")
      ->group(report);
  app.add_flag("--require-online", flags->require_online, "Exit code 4 when nobody matched")
      ->group(report);
  return [flags](const GlobalOptions& globals) { return Send(*flags, globals); };
}

}  // namespace herald::cli
