#include "service/node_stats.h"

#include <unistd.h>

#include <fstream>

#include "absl/time/clock.h"
#include "service/convert.h"

namespace herald {

NodeStats::NodeStats(SessionTable& table, Broker& broker, CommandRunner& runner, EventHub& events,
                     std::function<std::size_t()> push_streams)
    : table_(table),
      broker_(broker),
      runner_(runner),
      events_(events),
      push_streams_(std::move(push_streams)),
      started_(absl::Now()) {
  samples_.fill({started_, {}});
}

NodeStats::Totals NodeStats::Count() const {
  Totals totals;
  for (const auto& shard : table_.shards()) {
    const ShardStats& stats = shard->stats();
    totals.sessions += stats.sessions;
    totals.sessions_opened += stats.sessions_opened;
    totals.deliveries += stats.deliveries;
    totals.bytes_out += stats.bytes_out;
    totals.client_frames += stats.client_frames;
    totals.drains += stats.drains;
    totals.queued_bytes += stats.queued_bytes;
    totals.mailbox_depth += shard->mailbox().depth();
    for (int i = 0; i < kDropReasons; ++i)
      totals.dropped[static_cast<std::size_t>(i)] += stats.dropped[i];
  }
  totals.dropped[static_cast<std::size_t>(DropReason::kNoSession)] = runner_.no_session();
  totals.dropped[static_cast<std::size_t>(DropReason::kTimeout)] = runner_.timeouts();
  totals.commands = runner_.commands();
  return totals;
}

void NodeStats::Sample(absl::Time now) {
  Totals totals = Count();
  MutexLock lock(mutex_);
  samples_[next_] = {now, totals};
  next_ = (next_ + 1) % samples_.size();
}

v1::NodeInfo NodeStats::Describe(absl::Time now) const {
  const Totals totals = Count();
  Sampled before;
  {
    MutexLock lock(mutex_);
    before = samples_[next_];  // the oldest
  }
  v1::NodeInfo info;
  info.set_node(runner_.node());
  info.set_version(HERALD_VERSION);
  SetTime(started_, info.mutable_started_at());
  SetDuration(now - started_, info.mutable_uptime());
  info.set_shards(static_cast<std::uint32_t>(table_.shards().size()));
  info.set_sessions(totals.sessions);
  const TopicIndex::Size size = table_.index().Count();
  info.set_topics(size.topics);
  info.set_users(size.users);
  const double seconds = std::max(0.1, absl::ToDoubleSeconds(now - before.at));
  info.set_commands_per_second(static_cast<double>(totals.commands - before.totals.commands) /
                               seconds);
  info.set_deliveries_per_second(static_cast<double>(totals.deliveries - before.totals.deliveries) /
                                 seconds);
  info.set_bytes_out_per_second(static_cast<double>(totals.bytes_out - before.totals.bytes_out) /
                                seconds);
  info.set_commands_total(totals.commands);
  info.set_deliveries_total(totals.deliveries);
  std::uint64_t dropped = 0;
  for (std::uint64_t count : totals.dropped) dropped += count;
  info.set_dropped_total(dropped);
  info.set_resident_bytes(ResidentBytes());
  info.set_history_bytes(broker_.history_bytes());
  info.set_push_streams(push_streams_());
  info.set_watchers(events_.watchers());
  info.set_draining(draining);
  return info;
}

std::uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t size = 0, resident = 0;
  statm >> size >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace herald
