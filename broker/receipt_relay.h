#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "broker/cluster.h"
#include "session/mutex.h"
#include "session/receipt.h"
#include "session/receipt_clock.h"
#include "session/string_map.h"

namespace herald {

// Brings what other nodes count for a message back to the receipt of the node that took it.
//
// A message with a receipt is published with a header, `<node>/<number>/<level>/<milliseconds left>`.
// Each node that it reaches counts on a receipt of its own, and tells the origin its counts when that
// ends. Once the broker has accepted the publication, the origin tells all peers its number and
// offset, so that those which have no use for it say so too: a node answers with nothing if nobody
// there is on the topic, or if it is past that offset and has not met the message. A node that is
// still behind waits until it is not.
//
// Never overstated: what a node counted and could not tell, because it went or fell silent or came
// too late, is not counted; the receipt says of how many nodes it does not know
// (`Counts::unanswered_nodes`). `no_session` only if all have answered, and nobody was met.
//
// On a node, `Incoming` for a message must come before its broker says that it has delivered that
// offset, and, where there are no offsets, before the cluster gives out what was sent later.
//
// Threads:   any. Receipts end outside the lock, and `Delivered` is asked outside it: the broker may hold
//            a lock of its own around Incoming, and take it for the answer.
// Ownership: outlives the broker and all messages. Holds the receipts it waits for.
// Limits:    an entry of some hundred bytes for each number until its receipt ends.
class ReceiptRelay {
 public:
  // The offset up to which this node has delivered a topic; none if nobody here is on it.
  using Delivered = std::function<std::optional<std::uint64_t>(std::string_view topic)>;

  // Registers with `cluster`: before it starts.
  ReceiptRelay(Cluster& cluster, ReceiptClock& clock);
  // Before the cluster starts.
  void set_delivered(Delivered delivered) { delivered_ = std::move(delivered); }

  // --- the node that took the message ---

  // The header for a publication; by a holder of the receipt. Followed by Published or Failed.
  std::string Outgoing(const ReceiptPtr& receipt);
  // It has been accepted at `offset` (0: the topic has no history).
  void Published(std::string_view header, std::string topic, std::uint64_t offset);
  void Failed(std::string_view header);
  // The same for what goes straight to some nodes, each of which calls Incoming.
  std::string Expect(const ReceiptPtr& receipt, const std::vector<std::string>& nodes);

  // --- the nodes that it reaches, that one included ---

  // The receipt to count on, held once for the caller: the original on the origin. `subscribers`: of
  // this node, at that moment. Null if it is over, or has been met before.
  ReceiptPtr Incoming(std::string_view header, std::uint64_t subscribers);

  // Numbers that are waited for.
  std::size_t open() const;

 private:
  struct Header {
    std::string node;
    std::uint64_t number = 0;
    Receipt::Level level = Receipt::Level::kWritten;
    absl::Duration left;
  };
  // On the origin.
  struct Sent {
    ReceiptPtr receipt;
    bool published = false;
    bool own_part_done = false;
    std::uint64_t matched = 0;
    std::set<std::string, std::less<>> awaited, heard;
    std::string topic;
    std::uint64_t offset = 0;
    absl::Time told;
  };
  using SentMap = absl::flat_hash_map<std::uint64_t, Sent>;
  // On another node.
  using Key = std::pair<std::string, std::uint64_t>;  // origin, number
  struct Met {
    ReceiptPtr receipt;  // null: nobody here was met
    std::string counts;  // once it has ended, as they were told
    absl::Time forget_at;
  };
  // The origin asks whether this node has met it.
  struct Question {
    Key key;
    std::string topic;
    std::uint64_t offset = 0;
    absl::Time asked, until;
  };
  // Receipts to be released once the lock is not held.
  using Releases = std::vector<ReceiptPtr>;

  static std::optional<Header> Parse(std::string_view header);
  std::string Add(const ReceiptPtr& receipt, Sent sent);
  void OnPublished(std::string_view from, std::string_view lines);
  void OnDone(std::string_view from, std::string_view lines);
  void OnPeer(const Cluster::PeerChange& change);
  void OnEnded(const Key& key, const Receipt::Counts& counts);
  // Asks outside the lock up to where this node has delivered, then answers what can be answered and
  // keeps the rest.
  void TryAnswer(std::vector<Question> questions);
  // True if it is answered. `delivered` was asked before the lock was taken: a message up to there has
  // been met by now.
  bool TryAnswer(const Question& question, std::optional<std::uint64_t> delivered, absl::Time now,
                 Releases& releases) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CloseIfDone(SentMap::iterator sent, Releases& releases)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TellSoon(const std::string& node, std::string_view method, std::string line)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TellPublished(std::uint64_t number, Sent& sent, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Flush();
  void ScheduleTick() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Tick();
  static void Release(Releases& releases);

  Cluster& cluster_;
  ReceiptClock& clock_;
  Delivered delivered_ = [](std::string_view) { return std::nullopt; };

  mutable Mutex mutex_;
  std::uint64_t next_number_ ABSL_GUARDED_BY(mutex_);
  SentMap sent_ ABSL_GUARDED_BY(mutex_);
  std::map<Key, Met> met_ ABSL_GUARDED_BY(mutex_);
  std::vector<Question> questions_ ABSL_GUARDED_BY(mutex_);
  // By node and method.
  std::map<std::pair<std::string, std::string>, std::string> to_tell_ ABSL_GUARDED_BY(mutex_);
  bool flush_scheduled_ ABSL_GUARDED_BY(mutex_) = false;
  bool tick_scheduled_ ABSL_GUARDED_BY(mutex_) = false;
  std::uint64_t ticks_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace herald
