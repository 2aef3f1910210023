// The sessions of a shard, their topics, and what ended ones are owed.
#include <cassert>
#include <utility>

#include "absl/time/clock.h"
#include "session/bump.h"
#include "session/shard.h"
#include "session/topic_name.h"

namespace herald {
namespace {

// No receipt waits longer (push_service.proto, `report_timeout`).
constexpr auto kOwedFor = std::chrono::minutes(1);

}  // namespace

void Shard::Add(std::shared_ptr<Session> session, std::string user) {
  assert(IsCurrent());
  session->id_ = SessionId::New(static_cast<std::uint8_t>(options_.index));
  session->user_ = std::move(user);
  session->opened_at_ = absl::Now();
  session->direct_ = direct_slots_.Add();
  sessions_.insert(std::move(session));
  Bump(stats_.sessions, 1);
  Bump(stats_.sessions_opened, 1);
}

void Shard::LeaveAll(Session& session) {
  if (session.subscriptions_.empty()) return;
  if (delivering_) {
    to_leave_.push_back(session.shared_from_this());
    return;
  }
  while (!session.subscriptions_.empty()) {
    const std::string topic = session.subscriptions_.back().topic->topic;
    Unsubscribe(session, topic);
    if (IsReserved(topic)) continue;
    Emit(session, EventKind::kUnsubscribed, [&](Event& event) { event.topic = topic; });
  }
  session.subscriptions_.shrink_to_fit();
}

void Shard::Remove(Session& session) {
  auto it = sessions_.find(session.id_);
  if (it == sessions_.end() || it->get() != &session) return;
  if (delivering_) {
    to_remove_.push_back(*it);
    return;
  }
  const std::shared_ptr<Session> keep = std::move(sessions_.extract(it).value());
  Bump(stats_.sessions, -1);
  session.CloseDirect();
  direct_slots_.Remove(std::exchange(session.direct_, DirectSlots::kNone));
  session.closing_ = true;
  session.DropQueued(DropReason::kDisconnected, /*ended=*/true);
  KeepOwed(session.id_, session.user_, session.CollectOwed());
  LeaveAll(session);
  if (session.touched_) {
    for (Session*& touched : touched_) {
      if (touched == &session) touched = nullptr;
    }
    session.touched_ = false;
  }
}

void Shard::KeepOwed(const SessionId& id, std::string user, std::vector<Owed> owed) {
  if (owed.empty()) return;
  owed_[id] = {std::move(user), std::move(owed)};
  owed_until_.emplace_back(std::chrono::steady_clock::now() + kOwedFor, id);
}

std::vector<Owed> Shard::TakeOver(const SessionId& id, std::string_view user) {
  assert(IsCurrent());
  if (user.empty()) return {};  // nobody can be told from anybody
  if (Session* session = FindAny(id); session != nullptr && session->user() == user) {
    auto self = session->shared_from_this();
    session->Close(
        {CloseCode::kResumedElsewhere, "this session was resumed on another connection", {}});
    session->DropQueued(DropReason::kDisconnected, /*ended=*/false);
    KeepOwed(id, session->user(), session->CollectOwed());
  }
  auto it = owed_.find(id);
  if (it == owed_.end() || it->second.user != user) return {};
  std::vector<Owed> owed = std::move(it->second.owed);
  owed_.erase(it);
  return owed;
}

void Shard::ForgetOwed() {
  const auto now = std::chrono::steady_clock::now();
  while (!owed_until_.empty() && owed_until_.front().first <= now) {
    owed_.erase(owed_until_.front().second);
    owed_until_.pop_front();
  }
}

Session* Shard::FindAny(const SessionId& id) {
  auto it = sessions_.find(id);
  return it == sessions_.end() ? nullptr : it->get();
}

Session* Shard::Find(const SessionId& id) {
  auto it = sessions_.find(id);
  return it == sessions_.end() || (*it)->closing() ? nullptr : it->get();
}

const TopicSubscribers* Shard::FindTopic(std::string_view topic) const {
  auto it = topics_.find(topic);
  return it == topics_.end() ? nullptr : it->get();
}

void Shard::Subscribe(Session& session, const std::string& topic, std::optional<Position> since,
                      std::uint64_t max_subscribers, SubscribeDone done) {
  assert(IsCurrent());
  if (session.IsOn(topic)) {
    done(absl::AlreadyExistsError("already subscribed"));
    return;
  }
  feed_->Subscribe(
      *this, topic, since, max_subscribers,
      [this, topic, session = session.weak_from_this(),
       done = std::move(done)](absl::StatusOr<FeedStart> start) mutable {
        auto alive = session.lock();
        if (!start.ok()) {
          if (alive) done(std::move(start));
          return;
        }
        if (!alive || alive->closing()) {
          feed_->Unsubscribe(*this, topic);
          return;
        }
        if (alive->IsOn(topic)) {
          // Asked for twice before the first was answered.
          feed_->Unsubscribe(*this, topic);
          done(absl::AlreadyExistsError("already subscribed"));
          return;
        }
        TopicSubscribers& subscribers = SubscribersOf(topic);
        const auto slot = static_cast<std::uint32_t>(alive->subscriptions_.size());
        const auto index = static_cast<std::uint32_t>(subscribers.entries.size());
        subscribers.entries.push_back({alive.get(), slot, alive->direct_, start->position.offset});
        alive->subscriptions_.push_back({&subscribers, index});
        if (subscribers.join_leave) options_.presence->Joined(*alive, topic, MonotonicNanos());
        done(std::move(start));
      });
}

TopicSubscribers& Shard::SubscribersOf(const std::string& topic) {
  if (auto it = topics_.find(topic); it != topics_.end()) return **it;
  auto subscribers = std::make_unique<TopicSubscribers>();
  subscribers->topic = topic;
  if (options_.rules) {
    const TopicRule& rule = options_.rules->Find(topic);
    subscribers->overflow = rule.overflow;
    subscribers->join_leave = rule.join_leave && options_.presence != nullptr;
  }
  return **topics_.insert(std::move(subscribers)).first;
}

void Shard::Reconfigure(std::size_t max_outbound_bytes, std::uint32_t max_topics_per_session) {
  assert(IsCurrent());
  options_.max_outbound_bytes = max_outbound_bytes;
  options_.max_topics_per_session = max_topics_per_session;
  if (!options_.rules) return;
  for (const auto& topic : topics_) topic->overflow = options_.rules->Find(topic->topic).overflow;
}

void Shard::TellPresence(const PresenceChange& change) {
  const TopicSubscribers* topic = FindTopic(change.topic);
  if (topic == nullptr) return;
  // Held, since one that is full ends.
  std::vector<std::shared_ptr<Session>> sessions;
  for (const TopicSubscribers::Entry& entry : topic->entries) {
    if (entry.session->id() != change.session)
      sessions.push_back(entry.session->shared_from_this());
  }
  std::array<FramePtr, kProtocols> frames;
  for (const auto& session : sessions) {
    FramePtr& frame = frames[static_cast<std::size_t>(session->protocol())];
    if (!frame) frame = session->MakePresence(change);
    if (frame) session->Enqueue(frame);
  }
}

void Shard::TellGap(const std::string& topic, std::string_view reason, const Position& position) {
  assert(IsCurrent());
  const auto it = topics_.find(topic);
  if (it == topics_.end()) return;
  std::vector<std::shared_ptr<Session>> sessions;  // held, since one that is full ends
  for (TopicSubscribers::Entry& entry : (*it)->entries) {
    entry.start_offset = 0;  // a new log may begin below it
    sessions.push_back(entry.session->shared_from_this());
  }
  std::array<FramePtr, kProtocols> frames;
  for (const auto& session : sessions) {
    session->StopAwaitingAcks(topic);
    FramePtr& frame = frames[static_cast<std::size_t>(session->protocol())];
    if (!frame) frame = session->MakeGap(topic, reason, position);
    if (frame) session->Enqueue(frame);
  }
}

bool Shard::Unsubscribe(Session& session, std::string_view name) {
  for (std::uint32_t slot = 0; slot < session.subscriptions_.size(); ++slot) {
    TopicSubscribers& topic = *session.subscriptions_[slot].topic;
    if (topic.topic != name) continue;
    // The last entry takes the place of the one that goes, in both lists.
    const std::uint32_t index = session.subscriptions_[slot].index;
    topic.entries[index] = topic.entries.back();
    topic.entries[index].session->subscriptions_[topic.entries[index].slot].index = index;
    topic.entries.pop_back();
    session.subscriptions_[slot] = session.subscriptions_.back();
    session.subscriptions_.pop_back();
    if (slot < session.subscriptions_.size()) {
      const Session::Subscription& moved = session.subscriptions_[slot];
      moved.topic->entries[moved.index].slot = slot;
    }
    feed_->Unsubscribe(*this, topic.topic);
    if (topic.join_leave) {
      const bool anonymous_ended = session.closing_ && session.user_.empty();
      options_.presence->Left(session, topic.topic,
                              anonymous_ended || session.ended_by_producer_
                                  ? PresenceNews::Leave::kForGood
                                  : PresenceNews::Leave::kMayReturn,
                              MonotonicNanos());
    }
    if (topic.entries.empty()) topics_.erase(topics_.find(topic.topic));
    return true;
  }
  return false;
}

}  // namespace herald
