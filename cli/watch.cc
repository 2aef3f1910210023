// heraldctl watch: what clients do, as it happens.

#include <fmt/format.h>

#include <chrono>
#include <future>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/event_text.h"
#include "cli/flags.h"
#include "cli/output.h"
#include "cli/text.h"
#include "herald/v1/event_service.grpc.pb.h"

namespace herald::cli {
namespace {

struct WatchFlags {
  std::vector<std::string> kinds;
  std::vector<std::string> topics;
  std::string group;
  std::uint64_t since = 0;
  std::uint32_t in_flight = 0;
  std::uint64_t count = 0;
};

absl::StatusOr<v1::WatchRequest> BuildOpen(const WatchFlags& flags) {
  v1::WatchRequest request;
  v1::WatchOpen& open = *request.mutable_open();
  for (const std::string& name : flags.kinds) {
    const auto kind = ParseEventKind(name);
    if (!kind) {
      return absl::InvalidArgumentError(
          fmt::format("--kind: '{}' is none of {}", name, EventKindNames()));
    }
    open.add_kinds(*kind);
  }
  if (!flags.group.empty() && flags.since != 0) {
    return absl::InvalidArgumentError(
        "--since works without --group only: a group has its own place");
  }
  open.mutable_topic_patterns()->Add(flags.topics.begin(), flags.topics.end());
  open.set_group(flags.group);
  open.set_since_event_id(flags.since);
  open.set_max_in_flight(flags.in_flight);
  return request;
}

// Half-closes, and gives the server a moment to take the acknowledgements that are under way.
// Events that still come are not acknowledged, so other watchers of the group get them.
void End(grpc::ClientContext& context,
         grpc::ClientReaderWriter<v1::WatchRequest, v1::WatchResponse>& stream) {
  stream.WritesDone();
  const auto ended = std::async(std::launch::async, [&stream] {
    v1::WatchResponse unseen;
    while (stream.Read(&unseen)) {
    }
  });
  if (ended.wait_for(std::chrono::seconds(1)) != std::future_status::ready) context.TryCancel();
  ended.wait();
  stream.Finish();
}

ExitCode Watch(const WatchFlags& flags, const GlobalOptions& globals) {
  const auto open = BuildOpen(flags);
  if (!open.ok()) return UsageError(open.status());
  const auto connection = Connection::Open(globals.connection);
  if (!connection.ok()) return UsageError(connection.status());
  const auto stub = v1::EventService::NewStub(connection->channel());
  const auto context = connection->StreamContext();
  const auto stream = stub->Watch(context.get());
  // A failed write shows in the read below.
  stream->Write(*open);

  std::uint64_t printed = 0;
  v1::WatchResponse response;
  while (stream->Read(&response)) {
    if (response.missed() > 0) {
      PrintError(
          fmt::format("missed {} events: read faster, or use a --group with several watchers",
                      Thousands(response.missed())));
    }
    v1::WatchRequest acks;
    std::string lines;
    for (const v1::Event& event : response.events()) {
      if (flags.count > 0 && printed == flags.count) break;
      lines += (globals.json ? ToJson(event) : EventText(event)) + "\n";
      acks.add_ack_ids(event.id());
      ++printed;
    }
    Print(lines);
    // After printing: an event that was acknowledged has been seen by someone.
    if (!flags.group.empty() && acks.ack_ids_size() > 0 && !stream->Write(acks)) break;
    if (flags.count > 0 && printed == flags.count) {
      End(*context, *stream);
      return kOk;
    }
  }
  return connection->Report(stream->Finish());
}

}  // namespace

Action DeclareWatch(CLI::App& app) {
  auto flags = std::make_shared<WatchFlags>();
  AddList(app, "--kind", flags->kinds, EventKindNames("\n"))->option_text("KIND");
  AddRepeated(app, "--topic", flags->topics, "Only topics like this (* and **)")
      ->option_text("PATTERN");
  app.add_option("--group", flags->group, "Share the events with this group's watchers")
      ->option_text("NAME");
  app.add_option("--in-flight", flags->in_flight, "Unacknowledged events at most, for groups")
      ->option_text("N");
  app.add_option("--since", flags->since, "First replay what followed this event")
      ->option_text("EVENT-ID");
  app.add_option("--count", flags->count, "End after so many events")->option_text("N");
  return [flags](const GlobalOptions& globals) { return Watch(*flags, globals); };
}

}  // namespace herald::cli
