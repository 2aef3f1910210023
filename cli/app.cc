#include "cli/app.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>
#include <string>

#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/output.h"

namespace herald::cli {
namespace {

constexpr const char* kFooter = R"(Exit codes:
  0  done
  1  the server refused; the code and the reason are on stderr
  2  wrong usage, nothing was sent
  3  the server could not be reached, or did not answer in time
  4  not found: no such session; or nobody matched, with --require-online

`heraldctl <command> --help` shows a command's flags and examples.
Global options may stand before or after the command.)";

void DeclareGlobals(CLI::App& app, GlobalOptions& globals, std::optional<absl::Duration>& timeout) {
  ConnectionOptions& connection = globals.connection;
  if (const char* addr = std::getenv("HERALD_ADDR"); addr != nullptr && *addr != '\0') {
    connection.addr = addr;
  }
  const auto text = [&app](const char* flag, std::string& value, const char* type,
                           const char* help) {
    return app.add_option(flag, value, help)->type_name(type);
  };
  text(
      "--addr", connection.addr, "HOST:PORT",
      "Herald's gRPC address (or env HERALD_ADDR);\n`stream` takes several, a,b [127.0.0.1:50051]");
  text("--token", connection.token, "TOKEN", "Bearer token (or env HERALD_TOKEN)");
  text("--token-file", connection.token_file, "FILE", "Read it from this file");
  app.add_flag("--tls", connection.tls, "Use TLS; implied by --ca and --cert");
  text("--ca", connection.ca_file, "FILE", "Trust these certificates [the system's]");
  text("--cert", connection.cert_file, "FILE", "Our certificate, for mutual TLS");
  text("--key", connection.key_file, "FILE", "Its private key");
  text("--server-name", connection.server_name, "NAME",
       "Expect this name in the server's certificate");
  AddDuration(app, "--timeout", timeout, "How long one answer may take [10s]");
  app.add_flag("--json", globals.json, "For programs: JSON on stdout");
}

// As CLI11 makes it, without its double blank lines.
std::string Help(const CLI::App& app) {
  std::string help = app.help();
  for (std::size_t at = 0; (at = help.find("\n\n\n", at)) != std::string::npos;) {
    help.erase(at, 1);
  }
  return help;
}

// CLI11 would print to the streams and choose codes of its own.
ExitCode OnParseError(const CLI::App& app, const CLI::ParseError& error) {
  if (dynamic_cast<const CLI::CallForVersion*>(&error) != nullptr) {
    Print("heraldctl " HERALD_VERSION "\n");
    return kOk;
  }
  if (error.get_exit_code() == 0) {
    Print(Help(app));
    return kOk;
  }
  const auto chosen = app.get_subcommands();
  PrintError(std::string(error.what()) + "; see heraldctl " +
             (chosen.empty() ? "" : chosen[0]->get_name() + " ") + "--help");
  return kUsage;
}

}  // namespace

int RunHeraldctl(int argc, const char* const* argv) try {
  // gRPC would write lines of its own to stderr; what matters is in the status.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  CLI::App app("heraldctl: send through Herald, and see what it does", "heraldctl");
  app.set_version_flag("--version", "", "Show the version");
  app.set_help_flag("-h,--help", "Show this");
  app.option_defaults()->group("Global options");
  app.footer(kFooter);
  app.get_formatter()->column_width(32);
  // Not more than one: so the arguments of a command may be names of commands.
  app.require_subcommand(0, 1);
  GlobalOptions globals;
  std::optional<absl::Duration> timeout;
  DeclareGlobals(app, globals, timeout);

  Action action;
  std::vector<std::pair<CLI::App*, Action>> actions;
  for (const Command& command : Commands()) {
    CLI::App* sub = app.add_subcommand(command.name, command.help)->group(command.group);
    sub->option_defaults()->group("Options");
    sub->set_help_flag("-h,--help", "Show this");
    sub->fallthrough();
    sub->footer(std::string(command.examples) +
                "\nGlobal options (--addr, --json, …): heraldctl --help");
    actions.emplace_back(sub, command.declare(*sub));
  }

  if (argc < 2) {
    std::fputs(Help(app).c_str(), stderr);
    return kUsage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return OnParseError(app, error);
  }
  if (timeout) globals.connection.timeout = *timeout;
  for (const auto& [sub, run] : actions) {
    if (sub->parsed()) return run(globals);
  }
  PrintError("which command? see heraldctl --help");
  return kUsage;
} catch (const std::exception& error) {
  PrintError(std::string("internal error: ") + error.what());
  return kRefused;
}

}  // namespace herald::cli
