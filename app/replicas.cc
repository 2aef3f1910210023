#include "app/replicas.h"

#include <algorithm>
#include <utility>

#include "app/logging.h"

namespace herald {
namespace {

ClusterNodeOptions OptionsOf(const NatsConnection& connection, const std::string& node,
                             std::function<std::uint64_t()> sessions) {
  ClusterNodeOptions options;
  // A frame has to fit into what NATS takes, with what names it.
  options.max_frame_bytes = static_cast<std::size_t>(
      std::min<std::uint64_t>(options.max_frame_bytes, connection.max_payload() / 2));
  options.name = node;
  options.sessions = std::move(sessions);
  options.on_conflict = [](const std::string& what) { LogError(what, {}); };
  return options;
}

}  // namespace

Replicas::Replicas(NatsConnection& connection, const std::string& prefix, const std::string& node,
                   ReceiptClock& clock, std::function<std::uint64_t()> sessions)
    : cluster_(connection, prefix, OptionsOf(connection, node, std::move(sessions))),
      relay_(cluster_.cluster(), clock) {
  cluster().Watch([](const Cluster::PeerChange& change) {
    LogInfo(change.here   ? "a replica is here"
            : change.lost ? "a replica is lost"
                          : "a replica has ended",
            {{"replica", change.node}});
  });
}

void Replicas::Attach(CommandRunner& runner, SessionTable& table, EventHub& events,
                      Idempotency& idempotency, BanList& bans) {
  commands_.emplace(cluster(), relay_, runner, table);
  events_.emplace(cluster(), events);
  moves_.emplace(cluster(), idempotency);
  fence_.emplace(cluster(), table);
  bans_.emplace(cluster(), bans);
}

absl::Status Replicas::Start() { return cluster_.Start(); }

}  // namespace herald
