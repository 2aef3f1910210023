#include "session/slow_sessions.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <memory>
#include <utility>
#include <vector>

#include "session/bump.h"
#include "session/shard.h"

namespace herald {

void SlowSessions::OnBlocked() {
  Bump(blocked_, 1);
  const auto excess = [this] {
    const std::size_t held = blocked() * limits_.send_buffer_bytes;
    return held > limits_.socket_bytes_total ? held - limits_.socket_bytes_total : 0;
  };
  const std::size_t over = excess();
  if (over == 0) return;
  // One flush can fill thousands of sockets. Without waiting for its end: sessions with a queue are
  // not written to past it, so that they may be closed in the middle of a flush or a delivery.
  if (over > limits_.socket_bytes_total / 2) {
    Close(limits_.socket_bytes_total / 2, Reason::kSockets);
    return;
  }
  if (posted_) return;
  posted_ = true;
  boost::asio::post(shard_.io(), [this, excess] {
    posted_ = false;
    if (const std::size_t over = excess(); over > 0)
      CloseAtOnce(over + limits_.socket_bytes_total / 8, Reason::kSockets);
  });
}

void SlowSessions::OnUnblocked() { Bump(blocked_, -1); }

std::size_t SlowSessions::CloseForRoom(std::size_t bytes) {
  const auto now = std::chrono::steady_clock::now();
  if (now < look_again_) return 0;
  const std::size_t freed = Close(bytes, Reason::kOutbound);
  if (freed < bytes) look_again_ = now + kLookAgain;
  return freed;
}

std::size_t SlowSessions::Close(std::size_t bytes, Reason reason) {
  const bool at_once = reason != Reason::kOutbound;
  std::vector<std::pair<std::size_t, std::shared_ptr<Session>>> slow;
  for (const std::shared_ptr<Session>& session : shard_.sessions()) {
    if (session->closing() && !at_once) continue;
    std::size_t held = session->queue().bytes();
    if (reason == Reason::kSockets && held == 0) continue;  // its socket takes what comes
    if (at_once) held += session->KernelBytes();
    if (held >= kMinHeld) slow.emplace_back(held, session);
  }
  std::sort(slow.begin(), slow.end(),
            [](const auto& a, const auto& b) { return a.first > b.first; });
  std::size_t freed = 0;
  // Those that are closing anyway come first.
  for (const auto& [held, session] : slow) {
    if (!session->closing()) continue;
    const std::uint64_t before = blocked();
    session->Abandon();
    if (blocked() < before) freed += held;
  }
  for (const auto& [held, session] : slow) {
    if (freed >= bytes) break;
    if (session->closing()) continue;
    freed += held;
    Bump(closed_[static_cast<std::size_t>(reason)], 1);
    session->Close({CloseCode::kSlowConsumer,
                    "slow consumer: memory is short, and it holds much",
                    {},
                    at_once});
  }
  return freed;
}

}  // namespace herald
