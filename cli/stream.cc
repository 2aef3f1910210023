// heraldctl stream: commands from stdin, results to stdout.

#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <optional>
#include <string>

#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/output.h"
#include "cli/push_stream.h"
#include "cli/text.h"

namespace herald::cli {
namespace {

struct StreamFlags {
  PushStreamOptions options;
  int report = 0;
  std::optional<absl::Duration> retry_for;
  bool summary = false;
};

void PrintSummary(const PushStreamSummary& summary, absl::Duration took) {
  fmt::print(
      stderr,
      "{} commands in {} ({}/s): {} ok, {} refused, {} duplicates, {} receipts; {} bad lines\n",
      Thousands(summary.commands), HumanDuration(took),
      HumanRate(static_cast<double>(summary.commands) / absl::ToDoubleSeconds(took)),
      Thousands(summary.ok), Thousands(summary.refused), Thousands(summary.duplicates),
      Thousands(summary.receipts), Thousands(summary.bad_lines));
}

ExitCode Stream(StreamFlags flags, const GlobalOptions& globals) {
  const auto connection = Connection::Open(globals.connection);
  if (!connection.ok()) return UsageError(connection.status());
  // A reader that went away shows as a failed write, not as death.
  std::signal(SIGPIPE, SIG_IGN);
  flags.options.default_report = static_cast<v1::ReportLevel>(flags.report);

  flags.options.token = connection->token();
  if (flags.retry_for) flags.options.retry_for = *flags.retry_for;
  flags.options.on_retry = [](const Producer::Outage& outage) {
    if (outage.attempt > 1) return;
    PrintError(
        fmt::format("the stream broke ({}); trying again", std::string(outage.status.message())));
  };
  PushStreamSummary summary;
  const absl::Time start = absl::Now();
  const absl::Status ended =
      RunPushStream(connection->channels(), STDIN_FILENO, STDOUT_FILENO, flags.options, summary);
  const grpc::Status status(static_cast<grpc::StatusCode>(ended.code()),
                            std::string(ended.message()));
  if (flags.summary) PrintSummary(summary, absl::Now() - start);
  if (summary.output_lost) {
    PrintError("stdout was closed; what was under way is unknown");
    return kRefused;
  }
  const std::uint64_t answered = summary.ok + summary.refused;
  if (answered < summary.commands && (status.ok() || answered > 0)) {
    PrintError(fmt::format(
        "the stream ended without a result for {} commands; with --producer-id they can be "
        "repeated without harm",
        Thousands(summary.commands - answered)));
  }
  if (summary.lost_receipts > 0) {
    PrintError(fmt::format("the receipts of {} accepted commands were lost with a broken stream",
                           Thousands(summary.lost_receipts)));
  }
  if (!status.ok()) return connection->Report(status);
  return summary.all_ok() ? kOk : kRefused;
}

}  // namespace

Action DeclareStream(CLI::App& app) {
  auto flags = std::make_shared<StreamFlags>();
  app.add_option("--producer-id", flags->options.producer_id,
                 "Makes repeats safe, by seq, and reconnects")
      ->option_text("ID");
  AddDuration(app, "--retry-for", flags->retry_for, "With an ID: try a broken stream so long [1m]");
  AddChoice(app, "--report", flags->report,
            {{"accepted", v1::REPORT_LEVEL_ACCEPTED},
             {"written", v1::REPORT_LEVEL_WRITTEN},
             {"acked", v1::REPORT_LEVEL_ACKED}},
            "For commands without `report`");
  app.add_option("--batch", flags->options.batch, "Commands a request, at most [64]")
      ->option_text("N")
      ->check(CLI::Range(1, 4096).description(""));
  app.add_option("--rate", flags->options.rate, "Commands a second [no limit]")
      ->option_text("N")
      ->check(CLI::NonNegativeNumber.description(""));
  app.add_flag("--summary", flags->summary, "Counts on stderr at the end");
  return [flags](const GlobalOptions& globals) { return Stream(*flags, globals); };
}

}  // namespace herald::cli
