// heraldctl drain, heraldctl reload: for operators.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <optional>

#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/output.h"
#include "cli/text.h"
#include "herald/v1/admin_service.grpc.pb.h"

namespace herald::cli {
namespace {

ExitCode Drain(const std::optional<absl::Duration>& over, const GlobalOptions& globals) {
  const auto connection = Connection::Open(globals.connection);
  if (!connection.ok()) return UsageError(connection.status());
  v1::DrainRequest request;
  if (over) *request.mutable_over() = ToProto(*over);
  v1::DrainResponse response;
  const grpc::Status status = v1::AdminService::NewStub(connection->channel())
                                  ->Drain(connection->CallContext().get(), request, &response);
  if (!status.ok()) return connection->Report(status);
  globals.json ? PrintJson(response)
               : Print(fmt::format("draining  {} sessions\n", Thousands(response.sessions())));
  return kOk;
}

ExitCode Reload(const GlobalOptions& globals) {
  const auto connection = Connection::Open(globals.connection);
  if (!connection.ok()) return UsageError(connection.status());
  v1::ReloadResponse response;
  const grpc::Status status = v1::AdminService::NewStub(connection->channel())
                                  ->Reload(connection->CallContext().get(), {}, &response);
  if (!status.ok()) return connection->Report(status);
  if (globals.json) {
    PrintJson(response);
    return kOk;
  }
  const auto& changed = response.changed();
  Print(fmt::format("changed  {}\n",
                    changed.empty() ? "nothing" : fmt::format("{}", fmt::join(changed, ", "))));
  if (!response.needs_restart().empty())
    Print(fmt::format("needs a restart  {}\n", fmt::join(response.needs_restart(), ", ")));
  return kOk;
}

}  // namespace

Action DeclareDrain(CLI::App& app) {
  auto over = std::make_shared<std::optional<absl::Duration>>();
  AddDuration(app, "--over", *over, "Close the sessions over so long [as configured]");
  return [over](const GlobalOptions& globals) { return Drain(*over, globals); };
}

Action DeclareReload(CLI::App&) {
  return [](const GlobalOptions& globals) { return Reload(globals); };
}

}  // namespace herald::cli
