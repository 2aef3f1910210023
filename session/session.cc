#include "session/session.h"

#include <algorithm>

#include "session/shard.h"
#include "session/topic_name.h"

namespace herald {

Session::Session(Shard& shard, Protocol protocol, std::size_t max_outbound_bytes)
    : queue_(max_outbound_bytes), shard_(shard), protocol_(protocol) {}

Session::~Session() = default;

std::string Session::id_text() const { return id_.ToString(shard_.node()); }

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

std::size_t Session::topic_count() const {
  return static_cast<std::size_t>(
      std::count_if(subscriptions_.begin(), subscriptions_.end(),
                    [](const Subscription& s) { return !IsReserved(s.topic->topic); }));
}

absl::Status Session::Join(const std::vector<std::string>& topics) {
  if (closing_) return absl::OkStatus();
  std::vector<std::string> wanted;
  std::copy_if(topics.begin(), topics.end(), std::back_inserter(wanted),
               [this](const std::string& topic) { return !IsOn(topic); });
  if (topic_count() + wanted.size() > shard_.max_topics_per_session()) {
    return absl::ResourceExhaustedError("a session is on as many topics as it may be");
  }
  for (const std::string& topic : wanted) {
    shard_.Subscribe(*this, topic, std::nullopt, 0, [this, topic](absl::StatusOr<FeedStart> start) {
      if (!start.ok()) return;
      Event event;
      event.kind = EventKind::kSubscribed;
      event.topic = topic;
      shard_.Emit(*this, std::move(event));
    });
  }
  return absl::OkStatus();
}

bool Session::Leave(const std::string& topic) {
  if (!shard_.Unsubscribe(*this, topic)) return false;
  Event event;
  event.kind = EventKind::kUnsubscribed;
  event.topic = topic;
  shard_.Emit(*this, std::move(event));
  return true;
}

bool Session::Enqueue(const FramePtr& frame) {
  if (closing_) return false;
  const std::size_t bytes = frame->bytes.size();
  if (!queue_.Fits(bytes) || shard_.outbound_full(bytes)) {
    Flush();
    if (closing_) return false;
    if (!queue_.empty() && (!queue_.Fits(bytes) || shard_.outbound_full(bytes))) {
      dropped_ += frame->messages;
      shard_.CountDropped(DropReason::kSlowConsumer, frame->messages);
      Close({CloseCode::kSlowConsumer, "slow consumer: its outbound queue is over the limit", {}});
      return false;
    }
  }
  queue_.Push(frame);
  // A session outside the table, such as the readiness probe's, is nobody's delivery.
  const bool listed = id_ != SessionId{};
  shard_.CountQueued(static_cast<std::int64_t>(bytes), listed ? frame->messages : 0);
  shard_.Touch(*this);
  return true;
}

bool Session::Enqueue(const Message& message) {
  return Enqueue(message.EncodedFor(protocol_, shard_.encoders()));
}

void Session::Close(CloseRequest request) {
  if (closing_) return;
  // No owner may let go of it while it closes.
  auto self = shared_from_this();
  if (request.code == CloseCode::kSlowConsumer) DropQueued(/*ended=*/false);
  closing_ = true;
  // From now on it is nobody's: not counted, not present, not met.
  shard_.LeaveAll(*this);
  DoClose(std::move(request));
}

void Session::DropQueued(bool ended) {
  const std::size_t before = queue_.bytes();
  const std::uint64_t lost = ended ? queue_.DropAll() : queue_.DropUnsent();
  shard_.CountQueued(-static_cast<std::int64_t>(before - queue_.bytes()), 0);
  dropped_ += lost;
  shard_.CountDropped(closing_ ? DropReason::kDisconnected : DropReason::kSlowConsumer, lost);
}

}  // namespace herald
