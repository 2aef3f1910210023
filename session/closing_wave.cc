#include "session/closing_wave.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "session/random.h"
#include "session/shard.h"

namespace herald {
namespace {

double RandomShare() { return static_cast<double>(RandomUint64() >> 11) * 0x1p-53; }

}  // namespace

CloseRequest RestartClose(absl::Duration spread) {
  return {CloseCode::kRestart, "this replica restarts",
          ReconnectAdvice{false, absl::Floor(spread * RandomShare(), absl::Milliseconds(1))}};
}

void ClosingWave::Start(absl::Duration over, absl::Duration spread) {
  end_ = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(over);
  spread_ = spread;
  // Shards begin anywhere in a step, so that those with few sessions do not close them together.
  if (due_ < 0) due_ = RandomShare();
  OnTimer();
}

void ClosingWave::OnTimer() {
  std::vector<Session*> open;
  for (const std::shared_ptr<Session>& session : shard_.sessions()) {
    if (!session->closing()) open.push_back(session.get());
  }
  const absl::Duration left = absl::FromChrono(end_ - std::chrono::steady_clock::now());
  std::size_t count = open.size();
  if (left > absl::ZeroDuration()) {
    due_ += static_cast<double>(open.size()) / (1 + absl::FDivDuration(left, TimerWheel::kTick));
    count = std::min(open.size(), static_cast<std::size_t>(due_));
    due_ -= static_cast<double>(count);
  }
  // Held, since a close may end a session at once.
  std::vector<std::shared_ptr<Session>> closed;
  for (std::size_t i = 0; i < count; ++i) closed.push_back(open[i]->shared_from_this());
  for (const auto& session : closed) session->Close(RestartClose(spread_));
  shard_.timers().Schedule(*this, absl::ZeroDuration());
}

}  // namespace herald
