#pragma once

#include <string>

#include "absl/status/status.h"
#include "broker/cluster_node.h"
#include "broker/nats_connection.h"

namespace herald {

// The replicas that share a NATS, as a Cluster: frames go over core NATS.
//
//   <prefix>.n.<node>   to one node
//   <prefix>.n._all     heartbeats, and what else is for all
//
// A node of its name that was cut off from NATS and is not yet held to be lost refuses a second one;
// one that is gone does not. While NATS is away nobody is held to be lost, and questions fail with
// kUnavailable at once.
//
// Threads:   frames come on the connection's thread and run on ClusterNode's.
// Ownership: the connection is closed before this goes.
// Limits:    frames of 512 KiB, half of what a NATS server takes by default.
class NatsCluster final : public NatsConnection::Receiver {
 public:
  // `options.send` and `options.connected` are set here.
  NatsCluster(NatsConnection& connection, std::string prefix, ClusterNodeOptions options);

  Cluster& cluster() { return node_; }
  // Once all have registered. kAlreadyExists, in one line for the operator, if a live node has this
  // name. Takes half a second.
  absl::Status Start();
  // `goodbye`: the others need not wait until they miss it. While the connection is open.
  void Stop(bool goodbye);

  void OnMessage(NatsMessage message) override { node_.Receive(std::string(message.data())); }

 private:
  std::string SubjectOf(std::string_view node) const;

  NatsConnection& connection_;
  const std::string prefix_;
  ClusterNode node_;
};

}  // namespace herald
