// heraldctl sessions, heraldctl session: who is connected.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/table.h"
#include "cli/text.h"
#include "herald/v1/session_service.grpc.pb.h"

namespace herald::cli {
namespace {

constexpr std::uint32_t kPageSize = 500;

struct ListFlags {
  std::string user;
  std::string topic;
  std::string where;
  std::uint64_t limit = 0;
};

std::string_view ProtocolName(v1::Protocol protocol) {
  switch (protocol) {
    case v1::PROTOCOL_RAW:
      return "raw";
    case v1::PROTOCOL_JSON:
      return "json";
    case v1::PROTOCOL_PROTO:
      return "proto";
    default:
      return "?";
  }
}

std::string Age(const v1::Session& session) {
  return HumanDuration(absl::Now() - FromProto(session.opened_at()));
}

void AddRow(Table& table, const v1::Session& session) {
  table.Row({session.session_id(), session.user_id().empty() ? "-" : session.user_id(),
             std::string(ProtocolName(session.protocol())), Age(session),
             Thousands(session.messages_out()), std::to_string(session.topics_size())});
}

ExitCode List(const ListFlags& flags, const GlobalOptions& globals) {
  const auto connection = Connection::Open(globals.connection);
  if (!connection.ok()) return UsageError(connection.status());
  const auto stub = v1::SessionService::NewStub(connection->channel());

  v1::ListSessionsRequest request;
  request.set_user_id(flags.user);
  request.set_topic(flags.topic);
  request.set_selector(flags.where);
  Table table({{"SESSION"},
               {"USER"},
               {"VIA"},
               {"AGE"},
               {"SENT", Table::kRight},
               {"TOPICS", Table::kRight}});
  std::uint64_t printed = 0;
  v1::ListSessionsResponse page;
  do {
    const std::uint64_t left = flags.limit == 0 ? kPageSize : flags.limit - printed;
    request.set_page_size(static_cast<std::uint32_t>(std::min<std::uint64_t>(left, kPageSize)));
    const grpc::Status status = stub->ListSessions(connection->CallContext().get(), request, &page);
    if (!status.ok()) return connection->Report(status);
    for (const v1::Session& session : page.sessions()) {
      globals.json ? PrintJson(session) : AddRow(table, session);
    }
    printed += page.sessions_size();
    if (!globals.json && printed > 0) Print(table.Take());
    request.set_page_token(page.next_page_token());
  } while (!page.next_page_token().empty() && (flags.limit == 0 || printed < flags.limit));

  if (!page.unanswered_nodes().empty()) {
    PrintError(fmt::format("incomplete, these nodes did not answer: {}",
                           fmt::join(page.unanswered_nodes(), ", ")));
  }
  if (!globals.json) {
    Print(printed < page.total()
              ? fmt::format("{} of {} sessions\n", Thousands(printed), Thousands(page.total()))
              : fmt::format("{} session{}\n", Thousands(printed), printed == 1 ? "" : "s"));
  }
  return kOk;
}

std::string Details(const v1::Session& session) {
  Facts facts;
  facts.Add("session", session.session_id());
  facts.Add("user", session.user_id().empty() ? "(anonymous)" : session.user_id());
  facts.Add("node", session.node());
  facts.Add("protocol", std::string(ProtocolName(session.protocol())));
  facts.Add("opened", fmt::format("{} ({} ago)", LocalTime(session.opened_at()), Age(session)));
  facts.Add("address", session.remote_address());
  facts.Add("user agent", session.user_agent());
  facts.Add("labels", LabelText(session.labels()));
  facts.Add("topics", fmt::format("{}", fmt::join(session.topics(), "  ")));
  facts.Add("out", fmt::format("{} messages, {}", Thousands(session.messages_out()),
                               HumanBytes(static_cast<double>(session.bytes_out()))));
  facts.Add("in", fmt::format("{} messages, {}", Thousands(session.messages_in()),
                              HumanBytes(static_cast<double>(session.bytes_in()))));
  facts.Add("queued", HumanBytes(static_cast<double>(session.queued_bytes())));
  facts.Add("dropped", Thousands(session.dropped()));
  return facts.Text();
}

ExitCode Show(const std::string& id, const GlobalOptions& globals) {
  const auto connection = Connection::Open(globals.connection);
  if (!connection.ok()) return UsageError(connection.status());
  const auto stub = v1::SessionService::NewStub(connection->channel());
  v1::GetSessionRequest request;
  request.set_session_id(id);
  v1::GetSessionResponse response;
  const grpc::Status status = stub->GetSession(connection->CallContext().get(), request, &response);
  if (!status.ok()) return connection->Report(status);
  globals.json ? PrintJson(response.session()) : Print(Details(response.session()));
  return kOk;
}

}  // namespace

Action DeclareSessions(CLI::App& app) {
  auto flags = std::make_shared<ListFlags>();
  app.add_option("--user", flags->user, "Only this user's")->option_text("USER");
  app.add_option("--topic", flags->topic, "Only subscribers of this topic")->option_text("TOPIC");
  app.add_option("--where", flags->where, "Only with these labels")->option_text("SELECTOR");
  app.add_option("--limit", flags->limit, "At most so many [all]")->option_text("N");
  return [flags](const GlobalOptions& globals) { return List(*flags, globals); };
}

Action DeclareSession(CLI::App& app) {
  auto id = std::make_shared<std::string>();
  app.add_option("id", *id, "The session's id")->required()->type_name("");
  return [id](const GlobalOptions& globals) { return Show(*id, globals); };
}

}  // namespace herald::cli
