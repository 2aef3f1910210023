#pragma once

#include <string>

#include "broker/cluster.h"
#include "session/ban_list.h"

namespace herald {

// Bans of the other replicas, for a replica that starts or was cut off from them.
//
// A Disconnect with `ban_for` is carried out on every replica that is there when it comes
// (ClusterCommands), and is answered once all have. A replica that starts asks the others (Learn),
// and each tells its bans to a replica that comes. Of two bans of the same names the longer one
// counts, so a ban that was lifted while a replica was cut off comes back with it.
//
// Threads: Learn on the thread that starts the server; the rest on the cluster's.
class BanExchange {
 public:
  static constexpr absl::Duration kDeadline = absl::Seconds(2);

  // Registers with `cluster`, before it starts. `bans` outlives both.
  BanExchange(Cluster& cluster, BanList& bans);

  // Once the cluster has started: asks all replicas, and waits until they have answered or the
  // deadline has passed. Before clients may come.
  void Learn();

 private:
  std::string Serialize() const;
  void Merge(const std::string& bytes);

  Cluster& cluster_;
  BanList& bans_;
};

}  // namespace herald
