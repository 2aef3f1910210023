#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <span>

#include "cli/connection.h"
#include "cli/exit_code.h"

namespace herald::cli {

// The flags every command has.
struct GlobalOptions {
  ConnectionOptions connection;
  // For programs: canonical proto JSON on stdout.
  bool json = false;
};

using Action = std::function<ExitCode(const GlobalOptions&)>;

// One row of the table from which parsing and both levels of help are made.
struct Command {
  const char* group;
  const char* name;
  // One line, for `heraldctl --help`.
  const char* help;
  // Declares the flags; what it returns is run when the command was named, after they have been
  // parsed.
  Action (*declare)(CLI::App& app);
  // Below the flags, in `heraldctl <name> --help`: examples.
  const char* examples;
};

// In the order of the help.
std::span<const Command> Commands();

// Says what is wrong with the command line.
ExitCode UsageError(const absl::Status& status);

Action DeclareSend(CLI::App& app);
Action DeclareStream(CLI::App& app);
Action DeclareSessions(CLI::App& app);
Action DeclareSession(CLI::App& app);
Action DeclareJoin(CLI::App& app);
Action DeclareLeave(CLI::App& app);
Action DeclareLabels(CLI::App& app);
Action DeclareKick(CLI::App& app);
Action DeclarePresence(CLI::App& app);
Action DeclareHistory(CLI::App& app);
Action DeclareWatch(CLI::App& app);
Action DeclareSubscribe(CLI::App& app);
Action DeclareStatus(CLI::App& app);
Action DeclareHealth(CLI::App& app);
Action DeclareToken(CLI::App& app);
Action DeclareDrain(CLI::App& app);
Action DeclareReload(CLI::App& app);
Action DeclareProducer(CLI::App& app);

}  // namespace herald::cli
