#include "session/session_table.h"

#include "session/topic_name.h"

namespace herald {
namespace {

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

SessionInfo Describe(Session& session) {
  SessionInfo info;
  info.id = session.id_text();
  info.user = session.user();
  info.protocol = session.protocol();
  info.labels = session.labels();
  for (std::string& topic : session.topics()) {
    if (!IsReserved(topic)) info.topics.push_back(std::move(topic));
  }
  info.opened_at = session.opened_at();
  info.remote_address = session.remote_address();
  info.user_agent = session.user_agent();
  info.messages_out = session.messages_out();
  info.bytes_out = session.bytes_out();
  info.messages_in = session.messages_in();
  info.bytes_in = session.bytes_in();
  info.queued_bytes = session.queue().bytes();
  for (const std::uint32_t dropped : session.dropped()) info.dropped += dropped;
  return info;
}

// The sessions of this shard that are meant, each once. Held, since an action may end one of them.
std::vector<std::shared_ptr<Session>> Match(Shard& shard, const Target& target) {
  std::vector<std::shared_ptr<Session>> matched;
  absl::flat_hash_set<Session*> seen;
  const auto take = [&](Session& session, bool maybe_again) {
    if (session.closing()) return;
    if (target.except && target.except->Cover(session.id(), session.user())) return;
    if (maybe_again && !seen.insert(&session).second) return;
    matched.push_back(session.shared_from_this());
  };
  const auto take_topic = [&](std::string_view topic, bool maybe_again) {
    const TopicSubscribers* subscribers = shard.FindTopic(topic);
    if (subscribers == nullptr) return;
    for (const auto& entry : subscribers->entries) take(*entry.session, maybe_again);
  };
  std::visit(Overloaded{[&](const SessionId& id) {
                          if (Session* session = shard.Find(id)) take(*session, false);
                        },
                        [&](const ToUsers& to) {
                          for (const std::string& user : to.users)
                            take_topic(PersonalTopic(user), false);
                        },
                        [&](const ToTopics& to) {
                          for (const std::string& topic : to.topics)
                            take_topic(topic, to.topics.size() > 1);
                        },
                        [&](const ToAll&) {
                          for (const auto& session : shard.sessions()) take(*session, false);
                        },
                        [&](const Selector& selector) {
                          for (const auto& session : shard.sessions()) {
                            if (selector.Matches(session->labels())) take(*session, false);
                          }
                        }},
             target.to);
  return matched;
}

}  // namespace

std::uint64_t SessionTable::ShardsOf(const Target& target) const {
  return std::visit(Overloaded{[&](const SessionId& id) {
                                 return id.shard < shards_.size() ? std::uint64_t{1} << id.shard
                                                                  : std::uint64_t{0};
                               },
                               [&](const ToUsers& to) {
                                 std::uint64_t shards = 0;
                                 for (const std::string& user : to.users)
                                   shards |= index_.Find(PersonalTopic(user)).shards;
                                 return shards;
                               },
                               [&](const ToTopics& to) {
                                 std::uint64_t shards = 0;
                                 for (const std::string& topic : to.topics)
                                   shards |= index_.Find(topic).shards;
                                 return shards;
                               },
                               [&](const ToAll&) { return AllShards(); },
                               [&](const Selector&) { return AllShards(); }},
                    target.to);
}

void SessionTable::ForEach(const Target& target, std::function<void(Session&)> action, Done done,
                           std::size_t bytes) {
  auto tally = std::make_shared<Tally>(std::move(done));
  struct Order {
    Target target;
    std::function<void(Session&)> action;
  };
  auto order = std::make_shared<const Order>(Order{target, std::move(action)});
  const std::uint64_t shards = ShardsOf(target);
  for (const auto& shard : shards_) {
    if ((shards >> shard->index() & 1) == 0) continue;
    tally->Expect();
    shard->Post(
        [tally, order, shard = shard.get()] {
          auto matched = Match(*shard, order->target);
          for (const auto& session : matched) order->action(*session);
          tally->Answer(matched.size());
        },
        bytes);
  }
  tally->Answer(0);
}

template <typename T>
void SessionTable::Gather(std::uint64_t shards, std::function<void(Shard&, std::vector<T>&)> visit,
                          absl::AnyInvocable<void(std::vector<T>)> done) {
  struct State {
    Mutex mutex;
    std::vector<T> found ABSL_GUARDED_BY(mutex);
  };
  auto state = std::make_shared<State>();
  auto tally = std::make_shared<Tally>([state, done = std::move(done)](std::uint64_t) mutable {
    std::vector<T> found;
    {
      MutexLock lock(state->mutex);
      found.swap(state->found);
    }
    done(std::move(found));
  });
  for (const auto& shard : shards_) {
    if ((shards >> shard->index() & 1) == 0) continue;
    tally->Expect();
    shard->Post([state, tally, visit, shard = shard.get()] {
      std::vector<T> found;
      visit(*shard, found);
      {
        MutexLock lock(state->mutex);
        std::move(found.begin(), found.end(), std::back_inserter(state->found));
      }
      tally->Answer(0);
    });
  }
  tally->Answer(0);
}

void SessionTable::List(SessionFilter filter,
                        absl::AnyInvocable<void(std::vector<SessionInfo>)> done) {
  std::uint64_t shards = AllShards();
  if (!filter.user.empty()) shards &= index_.Find(PersonalTopic(filter.user)).shards;
  if (!filter.topic.empty()) shards &= index_.Find(filter.topic).shards;
  auto shared = std::make_shared<const SessionFilter>(std::move(filter));
  Gather<SessionInfo>(
      shards,
      [shared](Shard& shard, std::vector<SessionInfo>& found) {
        const auto take = [&](Session& session) {
          if (session.closing()) return;
          if (!shared->user.empty() && session.user() != shared->user) return;
          if (shared->reach && !shared->reach->CoversUser(session.user())) return;
          if (shared->selector && !shared->selector->Matches(session.labels())) return;
          found.push_back(Describe(session));
        };
        if (shared->topic.empty()) {
          for (const auto& session : shard.sessions()) take(*session);
        } else if (const TopicSubscribers* topic = shard.FindTopic(shared->topic)) {
          for (const auto& entry : topic->entries) take(*entry.session);
        }
      },
      std::move(done));
}

void SessionTable::Get(const SessionId& id,
                       absl::AnyInvocable<void(std::optional<SessionInfo>)> done) {
  const std::uint64_t shards = id.shard < shards_.size() ? std::uint64_t{1} << id.shard : 0;
  Gather<SessionInfo>(
      shards,
      [id](Shard& shard, std::vector<SessionInfo>& found) {
        if (Session* session = shard.Find(id)) found.push_back(Describe(*session));
      },
      [done = std::move(done)](std::vector<SessionInfo> found) mutable {
        done(found.empty() ? std::nullopt : std::optional(std::move(found[0])));
      });
}

void SessionTable::Presence(std::string topic, ReachPtr reach,
                            absl::AnyInvocable<void(std::vector<Present>)> done) {
  const std::uint64_t shards = index_.Find(topic).shards;
  Gather<Present>(
      shards,
      [topic = std::move(topic), reach = std::move(reach)](Shard& shard,
                                                           std::vector<Present>& found) {
        const TopicSubscribers* subscribers = shard.FindTopic(topic);
        if (subscribers == nullptr) return;
        for (const auto& entry : subscribers->entries) {
          const Session& session = *entry.session;
          if (session.closing() || (reach && !reach->CoversUser(session.user()))) continue;
          found.push_back({session.id_text(), session.user()});
        }
      },
      std::move(done));
}

}  // namespace herald
