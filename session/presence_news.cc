#include "session/presence_news.h"

#include <utility>

#include "session/session.h"
#include "session/shard.h"

namespace herald {
namespace {

std::string KeyOf(const Session& session) {
  return session.user().empty() ? "#" + session.id_text() : session.user();
}

std::string UserOf(const std::string& key) { return key.starts_with('#') ? "" : key; }

}  // namespace

void PresenceNews::Joined(const Session& session, const std::string& topic) {
  Stripe& stripe = StripeOf(topic);
  MutexLock lock(stripe.mutex);
  Present& present = stripe.topics[topic][KeyOf(session)];
  const bool in_grace = present.sessions == 0 && present.gone_at != absl::InfiniteFuture();
  if (in_grace) {
    present.gone_at = absl::InfiniteFuture();
    --stripe.leaving;
  }
  present.session_id = session.id_text();
  if (present.sessions++ > 0 || in_grace) return;
  Tell({PresenceChange::Kind::kJoin, topic, present.session_id, session.user()});
}

void PresenceNews::Left(const Session& session, const std::string& topic, bool may_come_back,
                        absl::Time now) {
  Stripe& stripe = StripeOf(topic);
  MutexLock lock(stripe.mutex);
  auto of_topic = stripe.topics.find(topic);
  if (of_topic == stripe.topics.end()) return;
  auto it = of_topic->second.find(KeyOf(session));
  if (it == of_topic->second.end() || it->second.sessions == 0) return;
  if (--it->second.sessions > 0) return;
  // An anonymous session that comes back is another one.
  if (may_come_back && !session.user().empty() && grace_ > absl::ZeroDuration()) {
    it->second.session_id = session.id_text();
    it->second.gone_at = now + grace_;
    ++stripe.leaving;
    return;
  }
  of_topic->second.erase(it);
  if (of_topic->second.empty()) stripe.topics.erase(of_topic);
  Tell({PresenceChange::Kind::kLeave, topic, session.id_text(), session.user()});
}

void PresenceNews::Advance(absl::Time now) {
  for (Stripe& stripe : stripes_) {
    MutexLock lock(stripe.mutex);
    if (stripe.leaving == 0) continue;
    absl::erase_if(stripe.topics, [&](auto& of_topic) {
      absl::erase_if(of_topic.second, [&](const auto& entry) {
        if (entry.second.gone_at > now) return false;
        --stripe.leaving;
        Tell({PresenceChange::Kind::kLeave, of_topic.first, entry.second.session_id,
              UserOf(entry.first)});
        return true;
      });
      return of_topic.second.empty();
    });
  }
}

void PresenceNews::Tell(PresenceChange change) {
  const std::uint64_t shards = index_.Find(change.topic).shards;
  auto shared = std::make_shared<const PresenceChange>(std::move(change));
  for (const auto& shard : shards_) {
    if ((shards >> shard->index() & 1) == 0) continue;
    shard->Post([shard = shard.get(), shared] { shard->TellPresence(*shared); });
  }
}

}  // namespace herald
