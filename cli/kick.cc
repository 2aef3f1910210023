// heraldctl kick: close sessions, with advice.

#include <optional>
#include <string>

#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/matched.h"
#include "cli/output.h"
#include "cli/target_flags.h"

namespace herald::cli {
namespace {

struct KickFlags {
  TargetFlags target;
  std::uint32_t code = 0;
  std::string reason;
  int reconnect = 0;
  std::optional<absl::Duration> delay;
  std::optional<absl::Duration> ban_for;
  std::string token_id;
};

ExitCode Kick(const KickFlags& flags, const GlobalOptions& globals) {
  auto target = flags.target.Build();
  if (!target.ok()) return UsageError(target.status());
  v1::DisconnectRequest request;
  *request.mutable_target() = *std::move(target);
  request.set_code(flags.code);
  request.set_reason(flags.reason);
  request.set_reconnect(static_cast<v1::Reconnect>(flags.reconnect));
  if (flags.delay) *request.mutable_reconnect_delay() = ToProto(*flags.delay);
  if (flags.ban_for) *request.mutable_ban_for() = ToProto(*flags.ban_for);
  request.set_token_id(flags.token_id);
  return CallAndPrintMatched(globals, request, &v1::SessionService::Stub::Disconnect);
}

}  // namespace

Action DeclareKick(CLI::App& app) {
  auto flags = std::make_shared<KickFlags>();
  flags->target.Declare(app);
  app.add_option("--code", flags->code, "Close code [4410]")->option_text("CODE");
  app.add_option("--reason", flags->reason, "Told to the client")->option_text("TEXT");
  AddChoice(app, "--reconnect", flags->reconnect,
            {{"yes", v1::RECONNECT_YES}, {"no", v1::RECONNECT_NO}}, "Shall it come back?");
  AddDuration(app, "--delay", flags->delay, "It should wait so long before");
  AddDuration(app, "--ban-for", flags->ban_for, "Keep them away for so long; 0s lifts a ban");
  app.add_option("--token-id", flags->token_id, "Only sessions with the token of this jti")
      ->option_text("JTI");
  return [flags](const GlobalOptions& globals) { return Kick(*flags, globals); };
}

}  // namespace herald::cli
