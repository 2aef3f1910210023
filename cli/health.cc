// heraldctl health: does the server on this machine live, for container engines and scripts without curl.

#include <absl/strings/str_cat.h>
#include <absl/time/time.h>

#include <cstdlib>
#include <string>

#include "cli/commands.h"
#include "cli/http_get.h"
#include "cli/output.h"

namespace herald::cli {
namespace {

struct HealthFlags {
  std::string admin = "127.0.0.1:9090";
  bool ready = false;
};

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

ExitCode Health(const HealthFlags& flags, const GlobalOptions& globals) {
  // As the server's setting has it: where it listens everywhere, it is asked on loopback.
  const std::size_t colon = flags.admin.rfind(':');
  if (colon == std::string::npos || colon + 1 == flags.admin.size()) {
    return UsageError(
        absl::InvalidArgumentError("--admin: '" + flags.admin + "' is not HOST:PORT"));
  }
  std::string host = flags.admin.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.empty() || host == "0.0.0.0") host = "127.0.0.1";
  if (host == "::") host = "::1";

  const absl::StatusOr<HttpAnswer> answer =
      HttpGet(host, flags.admin.substr(colon + 1), flags.ready ? "/readyz" : "/healthz",
              absl::ToChronoMilliseconds(globals.connection.timeout));
  if (!answer.ok()) {
    PrintError(absl::StrCat("cannot reach ", flags.admin, ": ",
                            std::string(answer.status().message()),
                            "; is this its admin_addr? (--admin)"));
    return kUnreachable;
  }
  const std::string body(Trimmed(answer->body));
  if (answer->status == 200) {
    Print(body + "\n");
    return kOk;
  }
  PrintError(absl::StrCat("HTTP ", answer->status, ": ", body));
  return kRefused;
}

}  // namespace

Action DeclareHealth(CLI::App& app) {
  auto flags = std::make_shared<HealthFlags>();
  if (const char* admin = std::getenv("HERALD_ADMIN_ADDR"); admin != nullptr && *admin != '\0') {
    flags->admin = admin;
  }
  app.add_option("--admin", flags->admin,
                 "Its admin_addr (or env HERALD_ADMIN_ADDR)\n[127.0.0.1:9090]")
      ->type_name("HOST:PORT");
  app.add_flag("--ready", flags->ready, "Ask if messages pass, not just if it lives");
  return [flags](const GlobalOptions& globals) { return Health(*flags, globals); };
}

}  // namespace herald::cli
