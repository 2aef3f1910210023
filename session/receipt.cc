#include "session/receipt.h"

#include <algorithm>
#include <utility>

namespace herald {

void Receipt::Matched(std::uint64_t sessions) {
  open_.fetch_add(static_cast<std::uint32_t>(sessions), std::memory_order_relaxed);
  matched_.fetch_add(sessions, std::memory_order_release);
}

void Receipt::Written(std::uint32_t sessions) {
  written_.fetch_add(sessions, std::memory_order_release);
  if (level_ == Level::kWritten) Close(sessions);
}

void Receipt::Acked(std::uint32_t sessions) {
  acked_.fetch_add(sessions, std::memory_order_release);
  if (level_ == Level::kAcked) Close(sessions);
}

void Receipt::Dropped(DropReason reason) {
  dropped_[static_cast<std::size_t>(reason)].fetch_add(1, std::memory_order_release);
  Close();
}

void Receipt::Away(DropReason reason) {
  away_[static_cast<std::size_t>(reason)].fetch_add(1, std::memory_order_relaxed);
}

void Receipt::Back(DropReason reason) {
  away_[static_cast<std::size_t>(reason)].fetch_sub(1, std::memory_order_relaxed);
}

void Receipt::Close(std::uint32_t sessions) {
  if (open_.fetch_sub(sessions, std::memory_order_acq_rel) == sessions) Finish();
}

void Receipt::Add(const Counts& counts) {
  // In the order in which things happen to a session.
  matched_.fetch_add(counts.matched, std::memory_order_release);
  written_.fetch_add(counts.written, std::memory_order_release);
  for (std::size_t i = 0; i < counts.dropped.size(); ++i) {
    if (i != static_cast<std::size_t>(DropReason::kNoSession))
      dropped_[i].fetch_add(counts.dropped[i], std::memory_order_release);
  }
  acked_.fetch_add(counts.acked, std::memory_order_release);
  awaited_.fetch_sub(1, std::memory_order_release);
}

void Receipt::Expire() { Finish(); }

void Receipt::Cancel() {
  if (!final_.exchange(true, std::memory_order_acq_rel)) done_ = nullptr;
}

void Receipt::Finish() {
  if (final_.exchange(true, std::memory_order_acq_rel)) return;
  Counts counts;
  counts.unanswered_nodes = awaited_.load(std::memory_order_acquire);
  // In the reverse order of what happens to a session, so that no part is more than the whole while
  // others still count.
  counts.acked = acked_.load(std::memory_order_acquire);
  std::uint64_t closed = level_ == Level::kAcked ? counts.acked : 0;
  for (std::size_t i = 0; i < counts.dropped.size(); ++i) {
    counts.dropped[i] = dropped_[i].load(std::memory_order_acquire);
    if (i != static_cast<std::size_t>(DropReason::kNoSession)) closed += counts.dropped[i];
  }
  counts.written = written_.load(std::memory_order_acquire);
  if (level_ == Level::kWritten) closed += counts.written;
  counts.matched = matched_.load(std::memory_order_acquire);
  std::uint64_t open = counts.matched - closed;
  for (std::size_t i = 0; i < counts.dropped.size() && open > 0; ++i) {
    const std::int64_t away = std::max<std::int64_t>(0, away_[i].load(std::memory_order_relaxed));
    const std::uint64_t lost = std::min(open, static_cast<std::uint64_t>(away));
    counts.dropped[i] += lost;
    open -= lost;
  }
  counts.dropped[static_cast<std::size_t>(DropReason::kTimeout)] += open;
  if (counts.matched == 0 && counts.unanswered_nodes == 0) {
    auto& no_session = counts.dropped[static_cast<std::size_t>(DropReason::kNoSession)];
    no_session = std::max<std::uint64_t>(1, no_session);
  }
  // What it captured goes now, and not with the log that may hold the message for long.
  std::exchange(done_, nullptr)(counts);
}

}  // namespace herald
