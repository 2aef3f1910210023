#include "app/memory_watch.h"

#include <algorithm>

#include "app/allocator.h"
#include "app/logging.h"
#include "service/node_stats.h"

namespace herald {
namespace {

// The kernel's structures of one idle connection.
constexpr std::uint64_t kIdleSocketBytes = 4 * kKiB;
// After memory was let go of it takes this long until the resident set shows it.
constexpr absl::Duration kCutsApart = absl::Milliseconds(300);

std::size_t AtLeast(std::uint64_t share, std::size_t shards, std::uint64_t least) {
  return static_cast<std::size_t>(std::max(share / shards, least));
}

}  // namespace

MemoryWatch::MemoryWatch(Parts parts, const Config& config)
    : parts_(parts), budget_(config.limits.max_memory_bytes) {
  SetLimits(config);
}

void MemoryWatch::SetLimits(const Config& config) {
  const Limits& limits = config.limits;
  budget_.SetMax(limits.max_memory_bytes);
  // Linux doubles SO_SNDBUF (socket(7)), and takes one more segment: 91 KB were measured for 32 KiB.
  send_buffer_bytes_ = std::uint64_t{config.client_send_buffer_bytes} * 3;
  const auto share = [&](MemoryAccount account) {
    return ShareOf(account, limits.max_memory_bytes);
  };
  const std::size_t shards = parts_.shards.size();
  // One message of the longest, and its room while it grows, must fit.
  const UnfinishedMessages::Limits inbound = {
      AtLeast(share(MemoryAccount::kInbound), shards, 4 * limits.max_message_bytes),
      limits.message_timeout};
  const UnfinishedMessages::Limits unauthenticated = {
      AtLeast(share(MemoryAccount::kUnauthenticated), shards, 4 * limits.max_connect_bytes),
      limits.message_timeout};
  const SlowSessions::Limits slow = {
      AtLeast(share(MemoryAccount::kSockets), shards, 4 * send_buffer_bytes_),
      static_cast<std::size_t>(send_buffer_bytes_)};
  for (const auto& shard : parts_.shards) {
    shard->Post([shard = shard.get(), inbound, unauthenticated, slow] {
      shard->unfinished().SetLimits(inbound);
      shard->unauthenticated().SetLimits(unauthenticated);
      shard->slow_sessions().SetLimits(slow);
    });
  }
}

MemoryBudget::Held MemoryWatch::Count(std::uint64_t resident) const {
  MemoryBudget::Held held{};
  const auto add = [&](MemoryAccount account, std::uint64_t bytes) {
    held[static_cast<std::size_t>(account)] += bytes;
  };
  for (const auto& shard : parts_.shards) {
    const ShardStats& stats = shard->stats();
    add(MemoryAccount::kOutbound,
        static_cast<std::uint64_t>(std::max<std::int64_t>(0, stats.queued_bytes)));
    add(MemoryAccount::kSockets,
        shard->slow_sessions().blocked() * send_buffer_bytes_ + stats.sessions * kIdleSocketBytes);
    add(MemoryAccount::kInbound, shard->unfinished().bytes());
    add(MemoryAccount::kUnauthenticated, shard->unauthenticated().bytes());
    add(MemoryAccount::kMailboxes, shard->mailbox().bytes());
  }
  add(MemoryAccount::kHistories, parts_.broker.history_bytes());
  add(MemoryAccount::kEvents, parts_.events.counts().bytes);
  add(MemoryAccount::kIdempotency, parts_.idempotency.keys() * kIdempotencyKeyBytes);
  add(MemoryAccount::kCalls, parts_.calls.bytes());
  std::uint64_t counted = 0;
  for (const std::uint64_t bytes : held) counted += bytes;
  counted -= held[static_cast<std::size_t>(MemoryAccount::kSockets)];
  add(MemoryAccount::kOther, resident > counted ? resident - counted : 0);
  std::uint64_t& sockets = held[static_cast<std::size_t>(MemoryAccount::kSockets)];
  sockets = std::max(sockets, cgroup_.socket_bytes().value_or(0));
  return held;
}

MemoryLevel MemoryWatch::Update() {
  const std::uint64_t resident = ResidentBytes();
  return budget_.Update(Count(resident), resident);
}

void MemoryWatch::Tick(absl::Time now) {
  MemoryLevel level = Update();
  if (level != MemoryLevel::kNormal && now >= next_purge_) {
    next_purge_ = now + absl::Seconds(1);
    ReturnFreeMemory();
    level = Update();
  }
  FreeSockets();
  parts_.runner.memory = level;
  parts_.front_end.memory = level;
  if (level == MemoryLevel::kFull && now >= next_cut_) {
    next_cut_ = now + kCutsApart;
    next_purge_ = now + absl::Milliseconds(100);  // what goes now
    LetGo();
  }
  Log(now, level);
}

// Each shard bounds its sockets when one more is full; this is for those that are closing.
void MemoryWatch::FreeSockets() const {
  const std::uint64_t share =
      std::max(ShareOf(MemoryAccount::kSockets, budget_.max_bytes()) / parts_.shards.size(),
               4 * send_buffer_bytes_);
  for (const auto& shard : parts_.shards) {
    const std::uint64_t held = shard->slow_sessions().blocked() * send_buffer_bytes_;
    if (held <= share) continue;
    shard->Post([shard = shard.get(), excess = static_cast<std::size_t>(held - share)] {
      shard->slow_sessions().CloseAtOnce(excess, SlowSessions::Reason::kSockets);
    });
  }
}

void MemoryWatch::LetGo() {
  std::uint64_t excess = budget_.excess();
  const std::uint64_t history = budget_.held(MemoryAccount::kHistories);
  const std::uint64_t spared = ShareOf(MemoryAccount::kHistories, budget_.max_bytes()) / 2;
  if (history > spared && excess > 0) {
    const std::uint64_t cut = std::min(excess, history - spared);
    parts_.broker.EvictTo(history - cut);
    history_cuts_.fetch_add(1, std::memory_order_relaxed);
    excess -= cut;
  }
  if (excess == 0) return;
  const std::size_t each = static_cast<std::size_t>(excess / parts_.shards.size());
  for (const auto& shard : parts_.shards) {
    shard->Post([shard = shard.get(), each] {
      shard->slow_sessions().CloseAtOnce(each, SlowSessions::Reason::kMemory);
    });
  }
}

std::uint64_t MemoryWatch::sessions_closed(SlowSessions::Reason reason) const {
  std::uint64_t closed = 0;
  for (const auto& shard : parts_.shards) closed += shard->slow_sessions().closed(reason);
  return closed;
}

std::uint64_t MemoryWatch::messages_refused(bool authenticated,
                                            UnfinishedMessage::Refusal why) const {
  std::uint64_t refused = 0;
  for (const auto& shard : parts_.shards) {
    refused += (authenticated ? shard->unfinished() : shard->unauthenticated()).refused(why);
  }
  return refused;
}

std::uint64_t MemoryWatch::Shed() const {
  std::uint64_t shed = history_cuts();
  for (std::size_t i = 0; i < SlowSessions::kReasons; ++i)
    shed += sessions_closed(static_cast<SlowSessions::Reason>(i));
  for (const bool authenticated : {false, true}) {
    shed += messages_refused(authenticated, UnfinishedMessage::Refusal::kPoolFull);
    shed += messages_refused(authenticated, UnfinishedMessage::Refusal::kTooSlow);
  }
  return shed;
}

void MemoryWatch::Log(absl::Time now, MemoryLevel level) {
  if (now < next_log_) return;
  const std::uint64_t shed = Shed();
  if (level == logged_level_ && shed == logged_shed_) return;
  next_log_ = now + absl::Seconds(1);
  const bool normal = level == MemoryLevel::kNormal && shed == logged_shed_;
  LogWarn(normal ? "memory is below its limit again"
          : level == MemoryLevel::kNormal
              ? "memory shares are full: sessions or messages were let go of"
              : "memory limit reached: new sessions and messages are refused",
          {{"level", kMemoryLevelNames[static_cast<std::size_t>(level)]},
           {"used_bytes", budget_.used()},
           {"max_memory_bytes", budget_.max_bytes()},
           {"sessions_closed", sessions_closed(SlowSessions::Reason::kOutbound) +
                                   sessions_closed(SlowSessions::Reason::kSockets) +
                                   sessions_closed(SlowSessions::Reason::kMemory)},
           {"let_go", shed - logged_shed_}});
  logged_level_ = level;
  logged_shed_ = shed;
}

}  // namespace herald
