// The loop of a shard: mail and flushing. What mail becomes is in shard_delivery.cc, its sessions
// and topics in shard_table.cc.
#include "session/shard.h"

#include <boost/asio/post.hpp>
#include <utility>

#include "absl/time/clock.h"
#include "session/bump.h"

namespace herald {
namespace {

// Mails handled before sockets and timers get their turn.
constexpr std::size_t kMailsATurn = 1024;

}  // namespace

Shard::Shard(ShardOptions options) : options_(std::move(options)), mailbox_(options_.mailbox) {
  if (!options_.make_batch_sender) return;
  batch_sender_ = options_.make_batch_sender();
  batch_flush_.emplace(*batch_sender_);
  direct_send_.set_batch(*batch_sender_);
}

Shard::~Shard() { Stop(); }

void Shard::Start(TopicFeed& feed) {
  feed_ = &feed;
  thread_ = std::thread([this] {
    thread_id_ = std::this_thread::get_id();
    last_tick_ = std::chrono::steady_clock::now();
    ScheduleTick();
    wake_.Listen([this] { OnWake(); });
    auto work = boost::asio::make_work_guard(io_);
    io_.run();
    // Sessions refer to the wheel and the counters: they go before those, on their own thread.
    draining_.clear();
    touched_.clear();
    unsettled_.clear();
    to_leave_.clear();
    to_remove_.clear();
    const std::vector<std::shared_ptr<Session>> left(sessions_.begin(), sessions_.end());
    for (const auto& session : left) Remove(*session);
    // Tasks may hold connections, whose sockets belong to the context.
    std::vector<Mail> unread;
    mailbox_.Take(unread);
  });
}

void Shard::Stop() {
  if (!thread_.joinable()) return;
  io_.stop();
  thread_.join();
}

void Shard::Post(absl::AnyInvocable<void()> task, std::size_t bytes) {
  if (mailbox_.Post({nullptr, nullptr, nullptr, std::move(task), bytes})) wake_.Signal();
}

void Shard::Deliver(MessagePtr message, ExceptionsPtr except, TallyPtr tally) {
  if (mailbox_.Post({std::move(message), std::move(except), std::move(tally), nullptr, 0}))
    wake_.Signal();
}

void Shard::OnWake() {
  // The mailbox wakes for the first mail after a Take, and Take is called here only: one wake a
  // burst.
  if (draining_.empty()) {
    mailbox_.Take(draining_);
  } else {
    std::vector<Mail> more;
    mailbox_.Take(more);
    draining_.erase(draining_.begin(), draining_.begin() + static_cast<std::ptrdiff_t>(drained_));
    drained_ = 0;
    std::move(more.begin(), more.end(), std::back_inserter(draining_));
  }
  // What is left of the last turn comes first; its continuation has been posted already.
  if (!continues_) Drain();
}

void Shard::Drain() {
  Bump(stats_.drains, 1);
  const std::size_t end = std::min(draining_.size(), drained_ + kMailsATurn);
  const std::size_t begin = drained_;
  std::size_t bytes = 0;
  in_drain_ = true;
  while (drained_ < end) {
    Mail mail = std::move(draining_[drained_++]);
    bytes += mail.bytes();
    HandleMail(mail);
  }
  FinishRun(/*last=*/true);
  FlushTouched();
  mailbox_.Done(end - begin, bytes);
  continues_ = drained_ < draining_.size();
  if (continues_) {
    boost::asio::post(io_, [this] { Drain(); });
  } else {
    draining_.clear();
    drained_ = 0;
  }
}

void Shard::SettleSoon(const MessageRunPtr& run) {
  if (run->unsettled) return;
  run->unsettled = true;
  unsettled_.push_back(run);
  FlushSoon();
}

void Shard::Touch(Session& session) {
  if (session.touched_) return;
  session.touched_ = true;
  touched_.push_back(&session);
  FlushSoon();
}

// Outside a drain, such as for a reply to a client frame: when the current handlers are done.
void Shard::FlushSoon() {
  if (in_drain_ || flush_posted_) return;
  flush_posted_ = true;
  boost::asio::post(io_, [this] {
    flush_posted_ = false;
    FlushTouched();
  });
}

void Shard::FlushSessions() {
  if (batch_flush_ && touched_.size() >= BatchSender::kWorthIt)
    return batch_flush_->Flush(touched_);
  for (std::size_t i = 0; i < touched_.size(); ++i) {
    PrefetchAhead(touched_, i);
    Session* session = std::exchange(touched_[i], nullptr);
    if (session == nullptr) continue;
    session->touched_ = false;
    session->Flush();
  }
  touched_.clear();
}

void Shard::FlushTouched() {
  in_drain_ = true;
  // Ended sessions may have others told that they left.
  do {
    FlushSessions();
    RemoveEnded();
  } while (!touched_.empty());
  for (const MessageRunPtr& run : unsettled_) {
    run->unsettled = false;
    run->Settle();
  }
  unsettled_.clear();
  single_ = nullptr;
  in_drain_ = false;
}

void Shard::RemoveEnded() {
  while (!to_leave_.empty()) {
    const std::shared_ptr<Session> session = std::move(to_leave_.back());
    to_leave_.pop_back();
    LeaveAll(*session);
  }
  while (!to_remove_.empty()) {
    const std::shared_ptr<Session> session = std::move(to_remove_.back());
    to_remove_.pop_back();
    Remove(*session);
  }
}

void Shard::Emit(const Session& session, EventKind kind, absl::FunctionRef<void(Event&)> fill) {
  if (options_.events == nullptr) return;
  const absl::Time now = absl::Now();
  if (options_.events->SkipUnwatched(now)) return;
  Event event;
  event.kind = kind;
  event.time = now;
  event.session_id = session.id_text();
  event.user_id = session.user();
  fill(event);
  options_.events->Publish(std::move(event));
}

bool Shard::outbound_full(std::size_t bytes) const {
  return stats_.queued_bytes.load(std::memory_order_relaxed) + static_cast<std::int64_t>(bytes) >
         static_cast<std::int64_t>(options_.max_outbound_bytes);
}

void Shard::CountQueued(std::int64_t bytes, std::uint64_t messages) {
  Bump(stats_.queued_bytes, bytes);
  Bump(stats_.deliveries, messages);
}

void Shard::CountWritten(std::size_t bytes) {
  Bump(stats_.bytes_out, bytes);
  Bump(stats_.queued_bytes, -static_cast<std::int64_t>(bytes));
}

void Shard::CountDirect(std::uint64_t bytes, std::uint64_t messages) {
  Bump(stats_.deliveries, messages);
  Bump(stats_.bytes_out, bytes);
}

void Shard::CountDropped(DropReason reason, std::uint64_t messages) {
  if (messages > 0) Bump(stats_.dropped[static_cast<int>(reason)], messages);
}

void Shard::ScheduleTick() {
  const auto tick = absl::ToChronoMilliseconds(TimerWheel::kTick);
  tick_timer_.expires_at(last_tick_ + tick);
  tick_timer_.async_wait([this, tick](boost::system::error_code error) {
    if (error) return;
    const auto ticks = (std::chrono::steady_clock::now() - last_tick_) / tick;
    last_tick_ += ticks * tick;
    timers_.Advance(static_cast<std::uint64_t>(ticks));
    ForgetOwed();
    ScheduleTick();
  });
}

}  // namespace herald
