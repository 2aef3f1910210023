// heraldctl stream: commands from stdin, results to stdout.

#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
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

  const auto stub = v1::PushService::NewStub(connection->channel());
  const auto context = connection->StreamContext();
  PushStreamSummary summary;
  const absl::Time start = absl::Now();
  const grpc::Status status =
      RunPushStream(*stub, *context, STDIN_FILENO, STDOUT_FILENO, flags.options, summary);
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
  if (!status.ok()) return connection->Report(status);
  return summary.all_ok() ? kOk : kRefused;
}

}  // namespace

Action DeclareStream(CLI::App& app) {
  auto flags = std::make_shared<StreamFlags>();
  app.add_option("--producer-id", flags->options.producer_id, "Makes repeats safe, by seq")
      ->option_text("ID");
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
