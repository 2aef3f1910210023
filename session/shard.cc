// The loop of a shard: mail, delivery and flushing. Its sessions and topics are in
// shard_table.cc.
#include "session/shard.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "absl/time/clock.h"
#include "session/bump.h"

namespace herald {
namespace {

// Mails handled before sockets and timers get their turn.
constexpr std::size_t kMailsATurn = 1024;
// A run of frames is shared by all its sessions; longer ones would only delay the first write.
constexpr std::size_t kMaxRunMessages = 256;
constexpr std::size_t kMaxRunBytes = 128 * 1024;
// Sessions to flush from which on a batch costs less than a call for each.
constexpr std::size_t kWorthABatch = 4;

}  // namespace

Shard::Shard(ShardOptions options) : options_(std::move(options)), mailbox_(options_.mailbox) {
  if (!options_.make_batch_sender) return;
  batch_sender_ = options_.make_batch_sender();
  batch_flush_.emplace(*batch_sender_);
}

Shard::~Shard() { Stop(); }

void Shard::Start(TopicFeed& feed) {
  feed_ = &feed;
  thread_ = std::thread([this] {
    thread_id_ = std::this_thread::get_id();
    last_tick_ = std::chrono::steady_clock::now();
    ScheduleTick();
    auto work = boost::asio::make_work_guard(io_);
    io_.run();
    // Sessions refer to the wheel and the counters: they go before those, on their own thread.
    draining_.clear();
    touched_.clear();
    unsettled_.clear();
    to_leave_.clear();
    to_remove_.clear();
    std::vector<std::shared_ptr<Session>> left;
    for (auto& [_, session] : sessions_) left.push_back(session);
    for (auto& session : left) Remove(*session);
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
  if (mailbox_.Post({nullptr, nullptr, nullptr, std::move(task), bytes})) Wake();
}

void Shard::Deliver(MessagePtr message, ExceptionsPtr except, TallyPtr tally) {
  if (mailbox_.Post({std::move(message), std::move(except), std::move(tally), nullptr, 0})) Wake();
}

void Shard::Wake() {
  boost::asio::post(io_, [this] { OnWake(); });
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
  FinishRun();
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

void Shard::HandleMail(Mail& mail) {
  if (mail.task) {
    FinishRun();
    mail.task();
    return;
  }
  const Message& message = *mail.message;
  auto it = topics_.find(std::string_view(message.topic()));
  if (it == topics_.end()) {
    if (mail.tally) mail.tally->Answer(0);
    if (Receipt* receipt = message.receipt()) receipt->Release();
    return;
  }
  TopicSubscribers& topic = *it->second;
  if (mail.except || mail.tally || topic.overflow != Overflow::kDisconnect ||
      (message.options() != nullptr && !message.options()->only_receipt())) {
    FinishRun();
    DeliverSingly(topic, mail);
    return;
  }
  if (run_.topic != &topic || run_.messages.size() >= kMaxRunMessages || run_.bytes >= kMaxRunBytes)
    FinishRun();
  run_.topic = &topic;
  run_.bytes += message.body().payload.size();
  run_.reports |= message.receipt() != nullptr;
  run_.messages.push_back(std::move(mail.message));
}

void Shard::DeliverSingly(TopicSubscribers& topic, const Mail& mail) {
  std::uint64_t met = 0;
  delivering_ = true;
  const std::uint64_t offset = mail.message->position().offset;
  Receipt* const receipt = mail.message->receipt();
  for (const TopicSubscribers::Entry& entry : topic.entries) {
    if (entry.session->closing()) continue;
    if (mail.except && mail.except->Cover(entry.session->id(), entry.session->user())) continue;
    if (offset != 0 && offset <= entry.start_offset) continue;
    ++met;
    if (receipt != nullptr) receipt->Matched();
    entry.session->Deliver(mail.message, topic.overflow,
                           receipt != nullptr ? Tracking::kCounted : Tracking::kNone);
  }
  delivering_ = false;
  if (receipt != nullptr) receipt->Release();
  if (mail.tally) mail.tally->Answer(met);
}

FramePtr Shard::JoinRun(Encoding encoding) const {
  if (run_.messages.size() == 1) return run_.messages[0]->EncodedFor(encoding, options_.encoders);
  auto joined = std::make_shared<Frame>();
  joined->messages = static_cast<std::uint32_t>(run_.messages.size());
  joined->topic = TopicHash(run_.topic->topic);
  std::size_t bytes = 0;
  for (const MessagePtr& message : run_.messages) {
    bytes += message->EncodedFor(encoding, options_.encoders)->bytes.size();
  }
  joined->bytes.reserve(bytes);
  for (const MessagePtr& message : run_.messages) {
    joined->bytes += message->EncodedFor(encoding, options_.encoders)->bytes;
  }
  return joined;
}

void Shard::FinishRun() {
  if (run_.topic == nullptr) return;
  const TopicSubscribers& topic = *run_.topic;
  // Live-only messages have offset 0 and are for whoever is here.
  std::uint64_t first_offset = 0;
  for (const MessagePtr& message : run_.messages) {
    const std::uint64_t offset = message->position().offset;
    if (offset != 0 && (first_offset == 0 || offset < first_offset)) first_offset = offset;
  }
  // The others subscribed while this run was under way.
  const auto gets_all = [&](const TopicSubscribers::Entry& entry) {
    return first_offset == 0 || entry.start_offset < first_offset;
  };
  MessageRunPtr run;
  if (run_.reports) {
    run = std::make_shared<MessageRun>(run_.messages);
    run->Matched(static_cast<std::uint64_t>(std::count_if(
        topic.entries.begin(), topic.entries.end(), [&](const TopicSubscribers::Entry& entry) {
          return gets_all(entry) && !entry.session->closing();
        })));
  }
  std::array<FramePtr, kEncodings> frames;
  delivering_ = true;
  for (const TopicSubscribers::Entry& entry : topic.entries) {
    Session& session = *entry.session;
    if (session.closing()) continue;
    if (gets_all(entry)) {
      FramePtr& frame = frames[session.encoding().index()];
      if (!frame) frame = JoinRun(session.encoding());
      session.Enqueue(frame, run);
      continue;
    }
    // Only what lies behind its start.
    for (const MessagePtr& message : run_.messages) {
      const std::uint64_t offset = message->position().offset;
      if (offset != 0 && offset <= entry.start_offset) continue;
      Receipt* const receipt = message->receipt();
      if (receipt != nullptr) receipt->Matched();
      session.Deliver(message, Overflow::kDisconnect,
                      receipt != nullptr ? Tracking::kCounted : Tracking::kNone);
    }
  }
  delivering_ = false;
  if (run) {
    for (const MessagePtr& message : run_.messages) {
      if (Receipt* receipt = message->receipt()) receipt->Release();
    }
  }
  run_.topic = nullptr;
  run_.messages.clear();
  run_.bytes = 0;
  run_.reports = false;
}

const MessageRunPtr& Shard::RunOf(const MessagePtr& message) {
  if (!single_ || single_->first() != message)
    single_ = std::make_shared<MessageRun>(std::vector<MessagePtr>{message});
  return single_;
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
  if (batch_flush_ && touched_.size() >= kWorthABatch) return batch_flush_->Flush(touched_);
  for (std::size_t i = 0; i < touched_.size(); ++i) {
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

void Shard::Emit(const Session& session, Event event) {
  if (options_.events == nullptr) return;
  event.time = absl::Now();
  event.session_id = session.id_text();
  event.user_id = session.user();
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
