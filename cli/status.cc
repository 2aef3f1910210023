// heraldctl status: nodes, sessions, rates, memory.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <thread>

#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/output.h"
#include "cli/status_text.h"
#include "herald/v1/admin_service.grpc.pb.h"

namespace herald::cli {
namespace {

struct StatusFlags {
  bool watch = false;
  std::optional<absl::Duration> interval;
  std::uint64_t count = 0;
};

ExitCode Status(const StatusFlags& flags, const GlobalOptions& globals) {
  const auto connection = Connection::Open(globals.connection);
  if (!connection.ok()) return UsageError(connection.status());
  const auto stub = v1::AdminService::NewStub(connection->channel());
  // On a terminal each picture replaces the last one; elsewhere they follow each other.
  const char* const clear = TerminalWidth() > 0 && flags.watch ? "\x1b[H\x1b[2J" : "";
  const absl::Duration interval =
      std::max(flags.interval.value_or(absl::Seconds(1)), absl::Milliseconds(50));

  std::optional<Sample> last;
  absl::Time next = absl::Now();
  for (std::uint64_t shown = 1;; ++shown) {
    v1::GetInfoResponse info;
    const grpc::Status status = stub->GetInfo(connection->CallContext().get(), {}, &info);
    if (!status.ok()) return connection->Report(status);
    Sample sample{absl::Now(), std::move(info)};
    if (globals.json) {
      PrintJson(sample.info);
    } else {
      Print(clear + StatusText(sample, last ? &*last : nullptr));
    }
    if (!sample.info.unanswered_nodes().empty()) {
      PrintError(fmt::format("incomplete, these nodes did not answer: {}",
                             fmt::join(sample.info.unanswered_nodes(), ", ")));
    }
    if (!flags.watch || shown == flags.count) return kOk;
    last = std::move(sample);
    // From tick to tick, so that slow answers do not add up; a late one is not made up for.
    next = std::max(next + interval, absl::Now());
    std::this_thread::sleep_for(absl::ToChronoNanoseconds(next - absl::Now()));
  }
}

}  // namespace

Action DeclareStatus(CLI::App& app) {
  auto flags = std::make_shared<StatusFlags>();
  app.add_flag("--watch", flags->watch, "Again and again, with rates between");
  AddDuration(app, "--interval", flags->interval, "How often, with --watch [1s]");
  app.add_option("--count", flags->count, "End --watch after so many")->option_text("N");
  return [flags](const GlobalOptions& globals) { return Status(*flags, globals); };
}

}  // namespace herald::cli
