#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "broker/broker.h"
#include "session/shard.h"

namespace herald {

// Sends a message through the broker to each shard once a second, so that readiness says what it
// claims: messages pass.
//
// Threads:   Send and Passed from any. Must outlive the shards' threads.
class Probe {
 public:
  static constexpr absl::Duration kFresh = absl::Seconds(5);

  Probe(Broker& broker, std::vector<std::unique_ptr<Shard>>& shards);
  ~Probe();

  void Send();
  // True if every shard got a probe within the last kFresh.
  bool Passed(absl::Time now) const;

 private:
  class Listener;
  Broker& broker_;
  std::vector<std::shared_ptr<Listener>> listeners_;
};

}  // namespace herald
