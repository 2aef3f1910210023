#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "broker/broker.h"
#include "session/shard.h"

namespace herald {

// Sends a message through the broker to each shard once a second, so that readiness says what it
// claims: messages pass. While the broker's store is away, and just after, it stays as it was for
// kAwayGrace: sessions are held all the same, and all replicas would turn unready together.
//
// Threads:   Send and Passed from any. Must outlive the shards' threads.
class Probe {
 public:
  static constexpr absl::Duration kFresh = absl::Seconds(5);
  static constexpr absl::Duration kAwayGrace = absl::Minutes(1);

  // `node`: probes go to this replica alone.
  Probe(Broker& broker, std::vector<std::unique_ptr<Shard>>& shards, const std::string& node);
  ~Probe();

  void Send();
  // True if every shard got a probe within the last kFresh, or could not for a while.
  bool Passed(absl::Time now) const;

 private:
  class Listener;
  Broker& broker_;
  std::vector<std::shared_ptr<Listener>> listeners_;
  std::atomic<std::int64_t> last_away_ms_{0};
  std::atomic<std::int64_t> away_began_ms_{0};
};

}  // namespace herald
