// heraldctl history: what a topic's log holds.

#include <fmt/format.h>

#include <string>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/table.h"
#include "cli/text.h"
#include "herald/v1/session_service.grpc.pb.h"

namespace herald::cli {
namespace {

struct HistoryFlags {
  std::string topic;
  std::string since;
  std::uint32_t limit = 0;
  bool reverse = false;
};

void PrintForPeople(const v1::GetHistoryResponse& history) {
  Table table({{"OFFSET", Table::kRight}, {"TIME"}, {"EVENT"}, {"PAYLOAD"}}, TerminalWidth());
  for (const v1::HistoryEntry& entry : history.entries()) {
    const v1::Message& message = entry.message();
    table.Row({Thousands(entry.position().offset()), LocalTime(entry.accepted_at()),
               message.event().empty() ? "-" : message.event(), PayloadText(message)});
  }
  if (history.entries_size() > 0) Print(table.Take());
  Print(fmt::format(
      "{} message{}; newest offset {}, position {}\n", Thousands(history.entries_size()),
      history.entries_size() == 1 ? "" : "s", Thousands(history.current().offset()),
      history.current().token().empty() ? "-" : Printable(history.current().token())));
  if (!history.complete()) {
    PrintError("--since lies outside the log: messages between it and the first one are missing");
  }
}

ExitCode History(const HistoryFlags& flags, const GlobalOptions& globals) {
  const auto connection = Connection::Open(globals.connection);
  if (!connection.ok()) return UsageError(connection.status());
  const auto stub = v1::SessionService::NewStub(connection->channel());
  v1::GetHistoryRequest request;
  request.set_topic(flags.topic);
  request.set_since(flags.since);
  request.set_limit(flags.limit);
  request.set_reverse(flags.reverse);
  v1::GetHistoryResponse response;
  const grpc::Status status = stub->GetHistory(connection->CallContext().get(), request, &response);
  if (!status.ok()) return connection->Report(status);
  globals.json ? PrintJson(response) : PrintForPeople(response);
  return kOk;
}

}  // namespace

Action DeclareHistory(CLI::App& app) {
  auto flags = std::make_shared<HistoryFlags>();
  app.add_option("topic", flags->topic, "The topic")->required()->type_name("");
  app.add_option("--since", flags->since, "Only what follows this position")
      ->option_text("POSITION");
  app.add_option("--limit", flags->limit, "At most so many, up to 1,000 [100]")->option_text("N");
  app.add_flag("--reverse", flags->reverse, "Newest first");
  return [flags](const GlobalOptions& globals) { return History(*flags, globals); };
}

}  // namespace herald::cli
