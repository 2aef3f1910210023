#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "broker/nats_cluster.h"
#include "broker/receipt_relay.h"
#include "service/ban_exchange.h"
#include "service/cluster_commands.h"
#include "service/event_exchange.h"
#include "service/producer_moves.h"
#include "service/session_fence.h"

namespace herald {

// What this replica has to do with the others (docs/cluster.md), all in one place.
//
// Threads:   the owner's; what it is made of has its own.
// Ownership: lives longer than the broker, whose messages hold receipts of the relay; the connection
//            is closed before it goes.
class Replicas {
 public:
  // `sessions`: of this replica, told to the others. Called once Start has been.
  Replicas(NatsConnection& connection, const std::string& prefix, const std::string& node,
           ReceiptClock& clock, std::function<std::uint64_t()> sessions);

  Cluster& cluster() { return cluster_.cluster(); }
  ReceiptRelay& relay() { return relay_; }
  // To be called once, before Start.
  void Attach(CommandRunner& runner, SessionTable& table, EventHub& events,
              Idempotency& idempotency, BanList& bans);
  ProducerMoves& moves() { return *moves_; }
  SessionFence& fence() { return *fence_; }
  BanExchange& bans() { return *bans_; }

  // When all have registered. kAlreadyExists, in one line, if a live replica has this name.
  absl::Status Start();
  // Nothing of the others is carried out from here on. `goodbye`: they need not wait for this one.
  void Stop(bool goodbye) { cluster_.Stop(goodbye); }

 private:
  NatsCluster cluster_;
  ReceiptRelay relay_;
  std::optional<ClusterCommands> commands_;
  std::optional<EventExchange> events_;
  std::optional<ProducerMoves> moves_;
  std::optional<SessionFence> fence_;
  std::optional<BanExchange> bans_;
};

}  // namespace herald
