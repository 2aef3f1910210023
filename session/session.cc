#include "session/session.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "absl/time/clock.h"
#include "session/shard.h"
#include "session/topic_name.h"

namespace herald {

Session::Session(Shard& shard, Encoding encoding, std::size_t max_outbound_bytes)
    : shard_(shard), queue_(max_outbound_bytes, *this), encoding_(encoding) {}

Session::~Session() = default;

std::string Session::id_text() const { return id_.ToString(shard_.node()); }

const Labels& Session::labels() const {
  static const Labels kNone;
  return labels_ ? *labels_ : kNone;
}

void Session::set_labels(Labels labels) {
  labels_ = labels.empty() ? nullptr : std::make_unique<const Labels>(std::move(labels));
}

void Session::Prefetch() const {
  const auto* const begin = reinterpret_cast<const char*>(this);
  for (const char* line = begin; line <= begin + sizeof *this; line += 64) __builtin_prefetch(line);
}

std::vector<std::string> Session::topics() const {
  std::vector<std::string> topics;
  topics.reserve(subscriptions_.size());
  for (const Subscription& subscription : subscriptions_)
    topics.push_back(subscription.topic->topic);
  return topics;
}

bool Session::IsOn(std::string_view topic) const {
  return std::any_of(subscriptions_.begin(), subscriptions_.end(),
                     [&](const Subscription& s) { return s.topic->topic == topic; });
}

std::vector<std::string> Session::ChosenTopics() const {
  std::vector<std::string> topics;
  for (const Subscription& subscription : subscriptions_) {
    if (!subscription.by_producer && !IsReserved(subscription.topic->topic))
      topics.push_back(subscription.topic->topic);
  }
  return topics;
}

void Session::MarkJoined(std::string_view topic) {
  for (Subscription& subscription : subscriptions_) {
    if (subscription.topic->topic == topic) subscription.by_producer = true;
  }
}

std::size_t Session::topic_count() const {
  return static_cast<std::size_t>(
      std::count_if(subscriptions_.begin(), subscriptions_.end(),
                    [](const Subscription& s) { return !IsReserved(s.topic->topic); }));
}

namespace {

// Held while subscriptions of a session are under way. Says so when it goes, on the shard: at the end
// of the process nobody needs to know.
class Underway {
 public:
  Underway(const Shard& shard, JoinsPtr joins) : shard_(shard), joins_(std::move(joins)) {}
  ~Underway() {
    if (joins_ && shard_.IsCurrent()) joins_->in_force.Answer(0);
  }
  Underway(const Underway&) = delete;
  void Failed() {
    if (joins_) joins_->failed.fetch_add(1, std::memory_order_relaxed);
  }

 private:
  const Shard& shard_;
  const JoinsPtr joins_;
};

}  // namespace

absl::Status Session::Join(const std::vector<std::string>& topics, const JoinsPtr& joins) {
  const auto underway = std::make_shared<Underway>(shard_, joins);
  if (closing_) return absl::OkStatus();
  std::vector<std::string> wanted;
  std::copy_if(topics.begin(), topics.end(), std::back_inserter(wanted),
               [this](const std::string& topic) { return !IsOn(topic); });
  if (topic_count() + wanted.size() > shard_.max_topics_per_session()) {
    return absl::ResourceExhaustedError("a session is on as many topics as it may be");
  }
  for (const std::string& topic : topics) MarkJoined(topic);
  for (const std::string& topic : wanted) {
    shard_.Subscribe(
        *this, topic, std::nullopt, 0, [this, topic, underway](absl::StatusOr<FeedStart> start) {
          const bool was_faster = absl::IsAlreadyExists(start.status());
          if (!start.ok() && !was_faster) return underway->Failed();
          MarkJoined(topic);
          if (was_faster) return;
          shard_.Emit(*this, EventKind::kSubscribed, [&](Event& event) { event.topic = topic; });
        });
  }
  return absl::OkStatus();
}

bool Session::Leave(const std::string& topic) {
  if (!shard_.Unsubscribe(*this, topic)) return false;
  StopAwaitingAcks(topic);
  shard_.Emit(*this, EventKind::kUnsubscribed, [&](Event& event) { event.topic = topic; });
  return true;
}

bool Session::Enqueue(const FramePtr& frame, const MessageRunPtr& run) {
  Outbound out{frame, run};
  if (run) out.tracking = Tracking::kCounted;
  if (closing_) {
    if (run) Lose(out, DropReason::kDisconnected);
    return false;
  }
  if (!MakeRoom(out)) return false;
  Put(std::move(out), /*ahead=*/false);
  return true;
}

bool Session::OpenDirect() {
  if (direct_ == DirectSlots::kNone) return false;
  const int socket = DirectSocket();
  if (socket < 0) return false;
  shard_.direct_slots()[direct_] = {socket, encoding_, 0, 0};
  return true;
}

void Session::CloseDirect() {
  DirectSlot& slot = shard_.direct_slots()[direct_];
  queue_.CountDirect(slot.messages, slot.bytes);
  slot = {};
}

std::uint64_t Session::messages_out() const {
  return queue_.messages_written() + shard_.direct_slots()[direct_].messages;
}

std::uint64_t Session::bytes_out() const {
  return queue_.bytes_written() + shard_.direct_slots()[direct_].bytes;
}

void Session::QueueUnsent(const FramePtr& frame, std::size_t written) {
  assert(queue_.empty());  // nothing is queued to anybody between the two
  DirectSlot& slot = shard_.direct_slots()[direct_];
  slot.messages -= frame->messages;
  slot.bytes -= frame->bytes.size();
  if (written == 0) {
    Enqueue(frame);
    return;
  }
  // It must be finished, whether there is room or not.
  Put(Outbound{frame, nullptr}, /*ahead=*/false);
  queue_.Consume(written);
  shard_.CountWritten(written);
}

void Session::Deliver(const MessagePtr& message, Overflow overflow, Tracking tracking) {
  const FramePtr& frame = message->EncodedFor(encoding_, shard_.encoders());
  const DeliveryOptions* options = message->options();
  if (options == nullptr && overflow == Overflow::kDisconnect) {
    Enqueue(frame);
    return;
  }
  Outbound out{frame, shard_.RunOf(message), overflow, tracking};
  if (options != nullptr) {
    if (options->overflow) out.overflow = *options->overflow;
    if (options->expires_unix_ms != 0 && options->ExpiredAt(absl::ToUnixMillis(absl::Now())))
      return Lose(out, DropReason::kExpired);
    if (!options->collapse_key.empty())
      CountLost(DropReason::kCollapsed, [&] { return queue_.DropCollapsed(*message); });
  }
  if (closing_) return Lose(out, DropReason::kDisconnected);
  if (!MakeRoom(out)) return;
  Put(std::move(out), options != nullptr && options->high_priority);
}

bool Session::MakeRoom(const Outbound& out) {
  const std::size_t bytes = out.frame->bytes.size();
  const auto fits = [&] { return queue_.Fits(bytes) && !shard_.outbound_full(bytes); };
  if (fits()) return true;
  Flush();
  if (closing_) {
    Lose(out, DropReason::kDisconnected);
    return false;
  }
  if (queue_.empty() || fits()) return true;
  DropExpired();
  if (fits()) return true;
  if (queue_.Fits(bytes)) {
    // All sessions together hold too much. This one may be the slowest.
    shard_.slow_sessions().CloseForRoom(shard_.max_outbound_bytes() / 8);
    if (closing_) {
      Lose(out, DropReason::kDisconnected);
      return false;
    }
    if (fits()) return true;
  }
  if (out.overflow == Overflow::kDisconnect) {
    // Lost with all that is queued, so that it may be owed like them.
    shard_.CountQueued(static_cast<std::int64_t>(bytes), 0);
    queue_.Push(out);
    Close({CloseCode::kSlowConsumer, "slow consumer: its outbound queue is over the limit", {}});
    return false;
  }
  if (out.overflow == Overflow::kDropOldest) {
    CountLost(DropReason::kSlowConsumer, [&] {
      return queue_.DropOldest(bytes, [&](const MessagePtr& last) -> FramePtr {
        const std::uint32_t topic = TopicHash(last->topic());
        for (const Extras::Gap& gap : extras().gaps) {
          if (gap.topic == topic) return nullptr;
        }
        FramePtr frame = MakeGapAt(*last);
        // In the place of the oldest: whatever of the topic is left is behind it.
        if (frame) extras().gaps.push_back({topic, true});
        return frame;
      });
    });
    if (fits()) return true;
  }
  Lose(out, DropReason::kSlowConsumer);
  const std::uint32_t topic = out.frame->topic;
  for (const Extras::Gap& gap : extras().gaps) {
    if (gap.topic == topic && !gap.message_after) return false;
  }
  if (FramePtr frame = MakeGapAt(*out.run->first())) {
    Put(Outbound{std::move(frame), out.run, Overflow::kDisconnect, Tracking::kNone, true},
        /*ahead=*/false);
    extras().gaps.push_back({topic, false});
  }
  return false;
}

void Session::Put(Outbound out, bool ahead) {
  // A session outside the table, such as the readiness probe's, is nobody's delivery.
  const bool listed = id_ != SessionId{};
  shard_.CountQueued(static_cast<std::int64_t>(out.frame->bytes.size()),
                     listed ? out.frame->messages : 0);
  if (extras_ && out.frame->messages > 0) {
    for (Extras::Gap& gap : extras_->gaps) {
      if (gap.topic == out.frame->topic) gap.message_after = true;
    }
  }
  if (ahead) {
    queue_.PushAhead(std::move(out));
  } else {
    queue_.Push(std::move(out));
  }
  shard_.Touch(*this);
}

template <typename Drop>
void Session::CountLost(DropReason reason, Drop drop) {
  const std::size_t before = queue_.bytes();
  const std::uint64_t lost = drop();
  shard_.CountQueued(static_cast<std::int64_t>(queue_.bytes()) - static_cast<std::int64_t>(before),
                     0);
  if (lost == 0) return;
  extras().dropped[static_cast<std::size_t>(reason)] += static_cast<std::uint32_t>(lost);
  shard_.CountDropped(reason, lost);
}

void Session::Lose(const Outbound& out, DropReason reason) {
  CountLost(reason, [&] { return out.frame->messages; });
  OnDropped(out, reason);
}

void Session::DropExpired() {
  if (!queue_.may_expire()) return;
  CountLost(DropReason::kExpired,
            [&] { return queue_.DropExpired(absl::ToUnixMillis(absl::Now())); });
}

void Session::DropQueued(DropReason reason, bool ended) {
  CountLost(reason, [&] { return ended ? queue_.DropAll(reason) : queue_.DropUnsent(reason); });
}

void Session::Close(CloseRequest request) {
  if (closing_) return;
  // No owner may let go of it while it closes.
  auto self = shared_from_this();
  CloseDirect();
  closing_ = true;
  may_come_back_ = MayComeBack(request.code) || (request.advice && !request.advice->never);
  ended_by_producer_ = request.code == CloseCode::kByProducer && !may_come_back_;
  if (request.code == CloseCode::kSlowConsumer)
    DropQueued(DropReason::kSlowConsumer, /*ended=*/false);
  // From now on it is nobody's: not counted, not present, not met.
  shard_.LeaveAll(*this);
  DoClose(std::move(request));
}

// --- receipts ---

void Session::OnWritten(const Outbound& gone) {
  if (gone.gap) {
    // The one written is the oldest of the topic.
    const std::uint32_t topic = TopicHash(gone.run->topic());
    auto& gaps = extras_->gaps;
    const auto written = std::find_if(gaps.begin(), gaps.end(),
                                      [&](const Extras::Gap& gap) { return gap.topic == topic; });
    if (written != gaps.end())
      gaps.erase(written);  // else all were dropped while it was on the wire
    return;
  }
  if (gone.tracking == Tracking::kNone) return;
  if (gone.tracking == Tracking::kCounted) {
    gone.run->Written();
    shard_.SettleSoon(gone.run);
  }
  if (!gone.run->awaits_acks()) return;
  if (gone.left) {
    DropUnacked({gone.run, 0});
  } else {
    AddUnacked(gone.run);
  }
}

void Session::OnDropped(const Outbound& gone, DropReason reason) {
  if (gone.gap) {
    const std::uint32_t topic = TopicHash(gone.run->topic());
    std::erase_if(extras_->gaps, [&](const Extras::Gap& gap) { return gap.topic == topic; });
    return;
  }
  if (gone.tracking == Tracking::kNone) return;
  for (const MessagePtr& message : gone.run->messages()) {
    if (message->receipt() == nullptr) continue;
    Receipt& receipt = *message->receipt();
    const bool comes_back =
        closing_ && may_come_back_ && !gone.left && !message->position().empty() &&
        (reason == DropReason::kDisconnected || reason == DropReason::kSlowConsumer);
    if (!comes_back || receipt.final()) {
      receipt.Dropped(reason);
      continue;
    }
    receipt.Away(reason);
    extras().owed.push_back({message, gone.tracking == Tracking::kAgain, reason});
  }
}

void Session::AddUnacked(MessageRunPtr run) {
  std::vector<Extras::Unacked>& unacked = extras().unacked;
  // A client that never acknowledges must not make it grow: receipts end by their timeout.
  if (unacked.size() == unacked.capacity())
    std::erase_if(unacked, [](const Extras::Unacked& old) { return old.run->final(); });
  unacked.push_back({std::move(run)});
}

void Session::DropUnacked(const Extras::Unacked& unacked) {
  unacked.run->Settle();  // what was written comes before what became of it
  const auto& messages = unacked.run->messages();
  for (std::size_t i = unacked.next; i < messages.size(); ++i) {
    if (AwaitsAck(*messages[i])) messages[i]->receipt()->Dropped(DropReason::kDisconnected);
  }
}

void Session::Acknowledge(absl::FunctionRef<std::uint64_t(std::string_view)> offset_of) {
  if (!extras_) return;
  std::erase_if(extras_->unacked, [&](Extras::Unacked& unacked) {
    MessageRun& run = *unacked.run;
    const auto& messages = run.messages();
    const std::uint64_t offset = offset_of(run.topic());
    if (offset == 0 || messages[unacked.next]->position().offset > offset) return false;
    const bool whole = run.last_offset() <= offset;
    if (whole && unacked.next == 0) {
      run.Acked();
      shard_.SettleSoon(unacked.run);
      return true;
    }
    run.Settle();  // what was written comes before what is acknowledged
    for (; unacked.next < messages.size(); ++unacked.next) {
      const Message& message = *messages[unacked.next];
      if (message.position().offset > offset) break;
      if (AwaitsAck(message)) message.receipt()->Acked();
    }
    return whole;
  });
}

void Session::StopAwaitingAcks(std::string_view topic) {
  queue_.MarkLeft(topic);
  if (!extras_) return;
  std::erase_if(extras_->unacked, [&](const Extras::Unacked& unacked) {
    if (unacked.run->topic() != topic) return false;
    DropUnacked(unacked);
    return true;
  });
}

std::vector<Owed> Session::CollectOwed() {
  if (!extras_) return {};
  std::vector<Owed> owed = std::exchange(extras_->owed, {});
  extras_->owed_at.clear();
  std::erase_if(owed, [](const Owed& one) { return one.message == nullptr; });
  for (const Extras::Unacked& unacked : std::exchange(extras_->unacked, {})) {
    unacked.run->Settle();  // what was written comes before what became of it
    const auto& messages = unacked.run->messages();
    for (std::size_t i = unacked.next; i < messages.size(); ++i) {
      if (!AwaitsAck(*messages[i]) || messages[i]->receipt()->final()) continue;
      messages[i]->receipt()->Away(DropReason::kDisconnected);
      owed.push_back({messages[i], true, DropReason::kDisconnected});
    }
  }
  if (may_come_back_ && !user_.empty() && protocol() != Protocol::kRaw) return owed;
  for (const Owed& one : owed) one.GiveUp();
  return {};
}

void Owed::GiveUp() const {
  message->receipt()->Back(reason);
  message->receipt()->Dropped(reason);
}

void Session::TakeOwed(std::vector<Owed> owed) {
  if (!owed.empty()) extras().owed = std::move(owed);
}

void Session::SettleOwed(std::string_view topic, std::uint64_t since, bool recovered) {
  if (!extras_) return;
  std::erase_if(extras_->owed, [&](Owed& one) {
    if (one.message == nullptr || one.message->topic() != topic) return false;
    Receipt& receipt = *one.message->receipt();
    if (recovered && one.message->position().offset > since) return false;  // comes again
    receipt.Back(one.reason);
    if (!recovered || !one.written) {
      receipt.Dropped(one.reason);
    } else {
      AddUnacked(shard_.RunOf(one.message));  // the client has it
    }
    return true;
  });
}

void Session::DeliverMissed(const MessagePtr& message, Overflow overflow) {
  Tracking tracking = Tracking::kNone;
  if (extras_ && message->receipt() != nullptr) {
    std::vector<Owed>& owed = extras_->owed;
    auto& owed_at = extras_->owed_at;
    if (owed_at.empty()) {
      for (std::size_t i = 0; i < owed.size(); ++i) owed_at.emplace(owed[i].message.get(), i);
    }
    if (const auto at = owed_at.find(message.get()); at != owed_at.end()) {
      Owed& one = owed[at->second];
      tracking = one.written ? Tracking::kAgain : Tracking::kCounted;
      message->receipt()->Back(one.reason);
      one.message = nullptr;
      owed_at.erase(at);
      if (owed_at.empty())
        std::erase_if(owed, [](const Owed& one) { return one.message == nullptr; });
    }
  }
  Deliver(message, overflow, tracking);
}

void Session::GiveUpOwed() {
  if (!extras_) return;
  extras_->owed_at.clear();
  for (const Owed& one : std::exchange(extras_->owed, {})) {
    if (one.message != nullptr) one.GiveUp();
  }
}

}  // namespace herald
