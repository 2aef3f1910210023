// heraldctl presence: who is on a topic.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/table.h"
#include "cli/text.h"
#include "herald/v1/session_service.grpc.pb.h"

namespace herald::cli {
namespace {

struct PresenceFlags {
  std::string topic;
  bool sessions = false;
  std::uint32_t limit = 0;
};

void PrintForPeople(const v1::GetPresenceResponse& presence, bool sessions) {
  Print(fmt::format("{} sessions of {} users\n", Thousands(presence.session_count()),
                    Thousands(presence.user_count())));
  if (sessions) {
    Table table({{"SESSION"}, {"USER"}});
    for (const v1::PresentSession& session : presence.sessions()) {
      table.Row({session.session_id(), session.user_id().empty() ? "-" : session.user_id()});
    }
    if (presence.sessions_size() > 0) Print(table.Take());
  } else {
    for (const std::string& user : presence.users()) Print(Printable(user) + "\n");
  }
  const auto listed =
      static_cast<std::uint64_t>(sessions ? presence.sessions_size() : presence.users_size());
  const std::uint64_t all = sessions ? presence.session_count() : presence.user_count();
  if (listed < all) {
    PrintError(fmt::format("{} more are not listed; set --limit", Thousands(all - listed)));
  }
}

ExitCode Presence(const PresenceFlags& flags, const GlobalOptions& globals) {
  const auto connection = Connection::Open(globals.connection);
  if (!connection.ok()) return UsageError(connection.status());
  const auto stub = v1::SessionService::NewStub(connection->channel());
  v1::GetPresenceRequest request;
  request.set_topic(flags.topic);
  request.set_include_sessions(flags.sessions);
  request.set_limit(flags.limit);
  v1::GetPresenceResponse response;
  const grpc::Status status =
      stub->GetPresence(connection->CallContext().get(), request, &response);
  if (!status.ok()) return connection->Report(status);
  globals.json ? PrintJson(response) : PrintForPeople(response, flags.sessions);
  if (!response.unanswered_nodes().empty()) {
    PrintError(fmt::format("incomplete, these nodes did not answer: {}",
                           fmt::join(response.unanswered_nodes(), ", ")));
  }
  return kOk;
}

}  // namespace

Action DeclarePresence(CLI::App& app) {
  auto flags = std::make_shared<PresenceFlags>();
  app.add_option("topic", flags->topic, "The topic; '$all' is on every session")
      ->required()
      ->type_name("");
  app.add_flag("--sessions", flags->sessions, "List sessions, not users");
  app.add_option("--limit", flags->limit, "At most so many lines [1,000]")->option_text("N");
  return [flags](const GlobalOptions& globals) { return Presence(*flags, globals); };
}

}  // namespace herald::cli
