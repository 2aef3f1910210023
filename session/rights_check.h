#pragma once

#include <vector>

#include "session/session_id.h"
#include "session/timer_wheel.h"

namespace herald {

class Shard;

// Lets every session of one shard check its rights again (Session::CheckRights), after a reload has
// changed topic rules or keys.
//
// A slice of the sessions is checked each tick, so that deliveries and pings of the others wait for
// at most one slice. Sessions that open meanwhile need no check: they opened by the new rules.
//
// Threads: owning shard only.
// Limits:  kSlice sessions a tick: 100,000 sessions take 5 s. Holds 24 bytes a session meanwhile.
class RightsCheck final : private Timer {
 public:
  static constexpr std::size_t kSlice = 2048;

  explicit RightsCheck(Shard& shard) : shard_(shard) {}

  // Begins with the sessions that are there now; a check under way begins anew.
  void Start();

 private:
  void OnTimer() override;

  Shard& shard_;
  std::vector<SessionId> left_;
};

}  // namespace herald
