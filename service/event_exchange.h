#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "broker/cluster.h"
#include "herald/internal/v1/cluster.pb.h"
#include "session/event_hub.h"

namespace herald {

// Makes the watchers of all nodes one: watches the other nodes in the name of this node's watchers,
// and gives the others this node's events.
//
// For each group that has watchers here, and once for those without a group, this node is a (remote)
// watcher at each other node, with the window of all its watchers of the group. It pulls batches, one
// question at a time, numbered, so that a lost answer is asked for again; what its watchers
// acknowledge it acknowledges there. When a node goes, or has no watchers of a group any more, what it
// had not acknowledged goes to other members: at least once, marked as redelivered.
//
// A node that is lost is told of once, as an event of the first (by name) of those that are left.
//
// Threads:   all on the cluster's.
// Limits:    kPullFor a question; kEventsABatch events a batch.
class EventExchange {
 public:
  static constexpr absl::Duration kPullFor = absl::Seconds(10);
  static constexpr std::size_t kEventsABatch = 256;
  // After a failure.
  static constexpr absl::Duration kRetry = absl::Seconds(1);

  // Registers with both, before the cluster starts and anybody watches. The cluster ends first.
  EventExchange(Cluster& cluster, EventHub& hub);
  ~EventExchange();

 private:
  // What another node watches here.
  struct Served {
    std::string node, group;
    std::uint64_t watcher = 0;
    std::uint64_t batch = 0;  // given last
    std::string last;         // that batch
    std::uint64_t asked = 0;  // the batch that `answer` is for
    std::optional<Cluster::Answer> answer;
  };
  // What this node watches elsewhere.
  struct Import {
    std::string node, group;
    EventFilter filter;
    std::uint32_t max_in_flight = 0;
    std::uint64_t watch = 0;  // 0: not open
    std::uint64_t next_batch = 1;
    std::deque<std::uint64_t> acknowledged;  // since the last answer
    bool closed = false;
  };
  using ImportPtr = std::shared_ptr<Import>;

  // --- for the others ---
  void OnWatch(std::string_view from, const std::string& request, Cluster::Answer answer);
  void OnPull(std::string_view from, const std::string& request, Cluster::Answer answer);
  void OnAcknowledge(std::string_view from, const std::string& message);
  void OnUnwatch(std::string_view from, const std::string& message);
  Served* FindServed(std::string_view from, std::uint64_t watch);
  void Serve(std::uint64_t watch);
  void Drop(std::uint64_t watch);

  // --- from the others ---
  // Watches what is wanted, and nothing else.
  void Sync();
  void SyncSoon();
  void Want(const std::string& node, const std::string& group, const EventFilter& filter,
            std::uint32_t max_in_flight);
  void Close(const ImportPtr& import);
  void Open(const ImportPtr& import);
  void Pull(const ImportPtr& import);
  void OnBatch(const ImportPtr& import, std::size_t acknowledged,
               const absl::StatusOr<std::string>& answer);
  void Retry(const ImportPtr& import);
  void Acknowledge(const std::string& group, const std::string& node, std::uint64_t event_id);

  void OnPeer(const Cluster::PeerChange& change);
  void TellLost(const std::string& node, std::uint64_t sessions);

  Cluster& cluster_;
  EventHub& hub_;
  std::uint64_t next_watch_;
  std::map<std::uint64_t, Served> served_;
  std::map<std::pair<std::string, std::string>, ImportPtr> imports_;  // by node and group
  // Nodes lost lately, and who had to tell.
  struct Lost {
    std::string node, teller;
    std::uint64_t sessions;
    absl::Time at;
  };
  std::vector<Lost> lost_;
};

}  // namespace herald
