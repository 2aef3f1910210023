#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "broker/cluster.h"
#include "service/idempotency.h"

namespace herald {

// What is remembered of a producer id follows it from node to node: one that opens a Push stream is
// asked for at all peers, which let go of it and tell what they carried out. Their older streams of it
// are over: commands that come on them are refused, so that nothing is carried out on two nodes.
//
// A node that does not answer tells nothing; then only the broker's own recognition of repeats is left
// (docs/guarantees.md).
//
// Threads:   any; answers on the cluster's thread.
// Limits:    waits kDeadline; the newest kMaxCommands are told one by one.
class ProducerMoves {
 public:
  static constexpr absl::Duration kDeadline = absl::Seconds(2);
  // A node lets its commands in flight end for so long.
  static constexpr absl::Duration kSettle = absl::Milliseconds(1500);
  static constexpr std::size_t kMaxCommands = 10'000;

  // Registers with `cluster`, before it starts. Both outlive it.
  ProducerMoves(Cluster& cluster, Idempotency& idempotency);

  bool alone() const { return cluster_.peers().empty(); }
  using Done = absl::AnyInvocable<void(std::vector<Idempotency::History>)>;
  void Ask(std::string_view name, std::string_view producer_id, Done done);

 private:
  void LetGo(std::string name, std::string producer_id, absl::Time until,
             std::shared_ptr<Cluster::Answer> answer);

  Cluster& cluster_;
  Idempotency& idempotency_;
};

}  // namespace herald
