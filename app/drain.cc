#include "app/drain.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "app/logging.h"

namespace herald {
namespace {

// Closes come evenly over the time, and so the clients back. What each is told to wait besides
// blurs the ticks, and comes off that time.
constexpr absl::Duration kMaxSpread = absl::Seconds(2);
// How long sessions may take to answer their close once all are closed, and streams to end.
constexpr absl::Duration kGrace = absl::Seconds(6);
// What streams have that did not end within that.
constexpr absl::Duration kNotReading = absl::Seconds(1);
// What producers have to move by themselves where there is no session to wait for.
constexpr absl::Duration kTimeToMove = absl::Seconds(1);
constexpr absl::Duration kPoll = absl::Milliseconds(5);

}  // namespace

void Drain::Run(absl::Duration over) {
  const absl::Time begun = absl::Now();
  const std::uint64_t sessions = parts_.stats.Count().sessions;
  LogInfo("draining", {{"sessions", sessions},
                       {"push_streams", parts_.grpc.push_streams()},
                       {"over_seconds", absl::ToDoubleSeconds(over)}});
  StopAccepting(over);
  CloseSessions(over);
  EndStreams(begun, over);
  const NodeStats::Totals totals = parts_.stats.Count();
  std::uint64_t dropped = 0;
  for (std::uint64_t count : totals.dropped) dropped += count;
  LogInfo("ended", {{"sessions_closed", sessions - std::min(sessions, totals.sessions)},
                    {"sessions_left", totals.sessions},
                    {"sessions_total", totals.sessions_opened},
                    {"commands", totals.commands},
                    {"deliveries", totals.deliveries},
                    {"dropped", dropped},
                    {"seconds", absl::ToDoubleSeconds(absl::Now() - begun)}});
}

void Drain::StopAccepting(absl::Duration over) {
  parts_.stats.draining = true;
  parts_.front_end.draining = true;
  parts_.listener.Close();
  parts_.grpc.BeginShutdown(over);
}

void Drain::CloseSessions(absl::Duration over) {
  const auto start = [&](absl::Duration closes, absl::Duration spread) {
    for (const auto& shard : parts_.shards)
      shard->Post([shard = shard.get(), closes, spread] { shard->CloseOver(closes, spread); });
  };
  const absl::Duration spread = std::min(kMaxSpread, over / 4);
  const absl::Time last = absl::Now() + over - spread;
  start(over - spread, spread);
  while (!hurry_ && absl::Now() < last) {
    if (AwaitNoSessions(absl::Now() + kPoll)) return;
  }
  // With a hurry the others are not to be run over: the clients spread the time that was left.
  if (hurry_) start(absl::ZeroDuration(), std::max(last + spread - absl::Now(), spread));
  AwaitNoSessions(absl::Now() + kGrace);
}

bool Drain::AwaitNoSessions(absl::Time until) const {
  while (parts_.stats.Count().sessions > 0) {
    if (absl::Now() >= until) return false;
    absl::SleepFor(kPoll);
  }
  return true;
}

void Drain::EndStreams(absl::Time begun, absl::Duration over) {
  // Most have moved by now.
  const absl::Time move_until = begun + std::min(over, kTimeToMove);
  while (!hurry_ && parts_.grpc.push_streams() > 0 && absl::Now() < move_until)
    absl::SleepFor(kPoll);
  parts_.grpc.EndStreams();
  const absl::Time until = absl::Now() + kGrace;
  do {
    // Whoever waits for a receipt gets what is known now.
    parts_.receipts.Advance(absl::InfiniteFuture());
    absl::SleepFor(kPoll);
  } while (parts_.grpc.push_streams() > 0 && absl::Now() < until);
  parts_.runner.draining = true;
  // Streams that are still there belong to producers that do not read: they have had their time.
  parts_.grpc.Shutdown(parts_.grpc.push_streams() > 0 ? kNotReading : kGrace);
}

}  // namespace herald
