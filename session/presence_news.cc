#include "session/presence_news.h"

#include <algorithm>
#include <utility>

#include "session/session.h"
#include "session/shard.h"

namespace herald {
namespace {

// A user for whom nothing is left to send is forgotten at once; the key stays in Room::waiting for a
// while.
constexpr std::size_t kMaxStaleKeys = 1024;

std::string KeyOf(const Session& session) {
  return session.user().empty() ? "#" + session.id_text() : session.user();
}

std::string UserOf(const std::string& key) { return key.starts_with('#') ? "" : key; }

void Count(std::atomic<std::uint64_t>& counter) { counter.fetch_add(1, std::memory_order_relaxed); }

}  // namespace

void PresenceNews::Joined(const Session& session, const std::string& topic, std::int64_t now_ns) {
  const std::string key = KeyOf(session);
  Stripe& stripe = StripeOf(topic);
  const MutexLock lock(stripe.mutex);
  Present& present = stripe.rooms[topic].users[key];
  if (present.sessions == 0 && present.announced) Count(unsent_);
  present.session = session.id();
  present.session_id = session.id_text();
  if (present.sessions++ == 0) Update(stripe, topic, key, now_ns);
}

void PresenceNews::Left(const Session& session, const std::string& topic, Leave leave,
                        std::int64_t now_ns) {
  const std::string key = KeyOf(session);
  Stripe& stripe = StripeOf(topic);
  const MutexLock lock(stripe.mutex);
  const auto room = stripe.rooms.find(topic);
  if (room == stripe.rooms.end()) return;
  const auto it = room->second.users.find(key);
  if (it == room->second.users.end() || it->second.sessions == 0) return;
  Present& present = it->second;
  if (--present.sessions > 0) return;
  present.session = session.id();
  present.session_id = session.id_text();
  if (leave == Leave::kForGood || options_.grace <= absl::ZeroDuration()) {
    present.grace_until = now_ns;
    return Update(stripe, topic, key, now_ns);
  }
  present.grace_until = now_ns + absl::ToInt64Nanoseconds(options_.grace);
  if (present.in_leaving) return;
  present.in_leaving = true;
  stripe.leaving.push_back({present.grace_until, topic, key});
}

void PresenceNews::Advance(std::int64_t now_ns) {
  for (Stripe& stripe : stripes_) {
    const MutexLock lock(stripe.mutex);
    EndGraces(stripe, now_ns);
    SendWaiting(stripe, now_ns);
  }
}

void PresenceNews::EndGraces(Stripe& stripe, std::int64_t now_ns) {
  while (!stripe.leaving.empty() && stripe.leaving.front().due <= now_ns) {
    Leaving leaving = std::move(stripe.leaving.front());
    stripe.leaving.pop_front();
    const auto room = stripe.rooms.find(leaving.topic);
    if (room == stripe.rooms.end()) continue;
    const auto it = room->second.users.find(leaving.key);
    if (it == room->second.users.end()) continue;
    Present& present = it->second;
    if (present.sessions == 0 && present.grace_until > now_ns) {
      // Was back, and has left once more.
      leaving.due = present.grace_until;
      stripe.leaving.push_back(std::move(leaving));
      continue;
    }
    present.in_leaving = false;
    if (present.sessions == 0) Update(stripe, leaving.topic, leaving.key, now_ns);
  }
}

void PresenceNews::SendWaiting(Stripe& stripe, std::int64_t now_ns) {
  for (std::size_t topics = stripe.unsettled.size(); topics > 0; --topics) {
    std::string topic = std::move(stripe.unsettled.front());
    stripe.unsettled.pop_front();
    const auto it = stripe.rooms.find(topic);
    if (it == stripe.rooms.end()) continue;
    Room& room = it->second;
    while (!room.waiting.empty() && HasBudget(room, now_ns)) {
      const std::string key = std::move(room.waiting.front());
      room.waiting.pop_front();
      const auto user = room.users.find(key);
      if (user == room.users.end()) continue;
      user->second.waiting = false;
      Settle(room, topic, key, now_ns);
    }
    if (IsForgettable(room, now_ns)) {
      stripe.rooms.erase(it);
    } else if (!room.waiting.empty() || room.users.empty()) {
      stripe.unsettled.push_back(std::move(topic));
    } else {
      room.listed = false;
    }
  }
}

void PresenceNews::Update(Stripe& stripe, const std::string& topic, const std::string& key,
                          std::int64_t now_ns) {
  const auto it = stripe.rooms.find(topic);
  Room& room = it->second;
  Present& present = room.users.find(key)->second;
  const bool here = present.sessions > 0 || present.grace_until > now_ns;
  const bool news = here != present.announced;
  if (!news || (room.waiting.empty() && HasBudget(room, now_ns))) {
    Settle(room, topic, key, now_ns);
    if (IsForgettable(room, now_ns) && !room.listed) {
      stripe.rooms.erase(it);
      return;
    }
    if (!room.users.empty()) return;
  } else if (!std::exchange(present.waiting, true)) {
    Count(delayed_);
    room.waiting.push_back(key);
    DropStaleKeys(room);
  }
  if (!std::exchange(room.listed, true)) stripe.unsettled.push_back(topic);
}

void PresenceNews::DropStaleKeys(Room& room) {
  if (room.waiting.size() <= 2 * room.users.size() + kMaxStaleKeys) return;
  std::erase_if(room.waiting, [&](const std::string& key) {
    const auto user = room.users.find(key);
    return user == room.users.end() || !user->second.waiting;
  });
}

bool PresenceNews::IsForgettable(const Room& room, std::int64_t now_ns) const {
  return room.users.empty() && room.waiting.empty() &&
         room.budget->Has(Budget().burst, Budget(), now_ns);
}

void PresenceNews::Settle(Room& room, const std::string& topic, const std::string& key,
                          std::int64_t now_ns) {
  const auto it = room.users.find(key);
  Present& present = it->second;
  const bool in_grace = present.sessions == 0 && present.grace_until > now_ns;
  if (in_grace) return;  // the end of the grace decides
  if (present.sessions > 0) {
    if (!std::exchange(present.announced, true)) {
      Send(room,
           {PresenceChange::Kind::kJoin, topic, present.session, present.session_id, UserOf(key)},
           now_ns);
    }
    return;
  }
  if (present.announced) {
    Send(room,
         {PresenceChange::Kind::kLeave, topic, present.session, present.session_id, UserOf(key)},
         now_ns);
  } else {
    Count(unsent_);
  }
  room.users.erase(it);
}

bool PresenceNews::HasBudget(const Room& room, std::int64_t now_ns) const {
  return room.budget->Has(1, Budget(), now_ns);
}

void PresenceNews::Send(Room& room, PresenceChange change, std::int64_t now_ns) {
  const TopicIndex::Found found = index_.Find(change.topic);
  room.budget->Charge(std::max<std::uint64_t>(found.subscribers, 1), Budget(), now_ns);
  Count(sent_);
  auto shared = std::make_shared<const PresenceChange>(std::move(change));
  for (const auto& shard : shards_) {
    if ((found.shards >> shard->index() & 1) == 0) continue;
    shard->Post([shard = shard.get(), shared] { shard->TellPresence(*shared); });
  }
}

PresenceNews::Counts PresenceNews::counts() const {
  return {sent_.load(std::memory_order_relaxed), unsent_.load(std::memory_order_relaxed),
          delayed_.load(std::memory_order_relaxed)};
}

}  // namespace herald
