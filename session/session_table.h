#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "session/reach.h"
#include "session/session.h"
#include "session/shard.h"
#include "session/target.h"
#include "session/topic_index.h"

namespace herald {

// What is told about a session; a copy, so any thread may keep it.
struct SessionInfo {
  std::string id;
  std::string user;
  Protocol protocol = Protocol::kRaw;
  Labels labels;
  std::vector<std::string> topics;  // without the personal and the broadcast topic
  absl::Time opened_at;
  std::string remote_address;
  std::string user_agent;
  std::uint64_t messages_out = 0, bytes_out = 0, messages_in = 0, bytes_in = 0;
  std::uint64_t queued_bytes = 0, dropped = 0;
};

struct SessionFilter {
  std::string user;                  // empty: any
  std::string topic;                 // empty: any
  std::optional<Selector> selector;  // none: any
  ReachPtr reach;                    // only sessions of its users; null: any
};

// The sessions of this node: the set of slices, one a shard, each read and written only there. A
// question or a change goes to the shards it may concern, and the answers are gathered.
//
// Threads:   any. `done` callbacks run on a shard's thread (or, where no shard is concerned, on
//            the caller's): they must not block.
// Order:     what one thread asks for takes effect in that order on each shard.
class SessionTable {
 public:
  SessionTable(std::vector<std::unique_ptr<Shard>>& shards, TopicIndex& index)
      : shards_(shards), index_(index) {}

  using Done = absl::AnyInvocable<void(std::uint64_t matched)>;
  // Runs `action` for each session that is meant, on its shard: so it runs on several threads at
  // once, and sees const state only.
  // `bytes`: what the action holds; counts for the mailboxes' watermarks.
  void ForEach(const Target& target, std::function<void(Session&)> action, Done done,
               std::size_t bytes = 0);

  // Sessions that pass the filter, in no order.
  void List(SessionFilter filter, absl::AnyInvocable<void(std::vector<SessionInfo>)> done);
  void Get(const SessionId& id, absl::AnyInvocable<void(std::optional<SessionInfo>)> done);

  struct Present {
    std::string session_id;
    std::string user;
  };
  // Of the users that `reach` covers; null: of all.
  void Presence(std::string topic, ReachPtr reach,
                absl::AnyInvocable<void(std::vector<Present>)> done);

  std::vector<std::unique_ptr<Shard>>& shards() { return shards_; }
  const TopicIndex& index() const { return index_; }

 private:
  // Posts `visit` to each shard of the bit set; `done` is called with all results when the last has
  // answered.
  template <typename T>
  void Gather(std::uint64_t shards, std::function<void(Shard&, std::vector<T>&)> visit,
              absl::AnyInvocable<void(std::vector<T>)> done);
  std::uint64_t AllShards() const {
    return shards_.size() == kMaxShards ? ~std::uint64_t{0}
                                        : (std::uint64_t{1} << shards_.size()) - 1;
  }
  std::uint64_t ShardsOf(const Target& target) const;

  std::vector<std::unique_ptr<Shard>>& shards_;
  TopicIndex& index_;
};

}  // namespace herald
