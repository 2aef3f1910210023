#include "session/rights_check.h"

#include "session/shard.h"

namespace herald {

void RightsCheck::Start() {
  left_.clear();
  left_.reserve(shard_.sessions().size());
  for (const auto& session : shard_.sessions()) left_.push_back(session->id());
  OnTimer();
}

void RightsCheck::OnTimer() {
  for (std::size_t i = 0; i < kSlice && !left_.empty(); ++i) {
    const SessionId id = left_.back();
    left_.pop_back();
    Session* session = shard_.Find(id);
    if (session == nullptr) continue;
    // Held, since the check may end the session at once.
    const auto held = session->shared_from_this();
    held->CheckRights();
  }
  if (!left_.empty()) return shard_.timers().Schedule(*this, absl::ZeroDuration());
  left_.shrink_to_fit();
}

}  // namespace herald
