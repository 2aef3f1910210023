#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "broker/stored_message.h"
#include "broker/topic_log.h"
#include "session/topic_feed.h"

namespace herald {

// What a replica knows of one topic that its sessions are on. Part of NatsBroker, whose stripe locks
// cover it.
struct NatsTopic {
  // A message that came, with its place in the stream and the one before it in its topic (0: none, or
  // gone).
  struct Held {
    StoredMessage message;
    std::uint64_t sequence = 0;
    std::uint64_t previous = 0;
  };
  // A session that waits to be subscribed.
  struct Waiter {
    Shard* shard;
    std::optional<Position> since;
    TopicFeed::SubscribeDone done;
    absl::Time deadline;
  };
  enum class State {
    kJoining,    // subscribed, but the position from which messages come is not known (any more)
    kLive,       // all up to log.current() has been delivered, and what comes follows
    kRepairing,  // something is missing, and is being read
  };
  // Held at once; what comes on top is read from the stream later.
  static constexpr std::size_t kMaxHeld = 4'096;

  NatsTopic(bool has_history, int its_partition, std::size_t max_messages, absl::Duration max_age)
      : history(has_history),
        partition(its_partition),
        history_size(max_messages),
        history_ttl(max_age),
        log({}, 0, absl::ZeroDuration()) {}

  // Begins to follow the topic at `start`, which is the topic's newest message, or (`at_head`) a place
  // in the stream before which the topic has none.
  void StartAt(const Position& start, bool head) {
    log = TopicLog(start, history_size, history_ttl);
    at_head = head;
    repaired_to = 0;
    suspect = 0;
    puzzled = 0;
    accused = 0;
  }
  bool known() const { return !log.current().empty(); }
  // True if nothing can lie between what is known and the message.
  bool Follows(const Held& message) const {
    if (message.previous == log.current().offset && !at_head) return true;
    if (at_head && message.previous == 0) return true;
    if (message.previous != 0 && message.previous <= repaired_to) return true;
    // The stream has let go of the messages before it, or it is the first one.
    return message.sequence <= repaired_to + 1;
  }

  bool history;
  const int partition;
  std::size_t history_size;  // in memory, and for who resumes
  absl::Duration history_ttl;
  State state = State::kJoining;
  std::uint64_t generation = 0;  // answers to older questions are not wanted any more
  bool busy = false;             // the stream is being asked, to join or to repair
  std::uint64_t replay = 0;      // nonzero: it is being read for who waits with an older position
  bool at_head = false;
  TopicLog log;                     // a cache of the newest messages, as the rule says how many
  std::uint64_t repair_target = 0;  // up to where it is being read
  std::uint64_t repaired_to = 0;    // and has been
  int puzzled = 0;                  // times that the stream's answer made no sense
  std::uint64_t suspect = 0;        // a sequence that should have come
  std::uint64_t accused = 0;        // log.current(), which the stream did not show when it was read
  // After a loss, until the topic is live again: what the stream has from here on is delivered. 0: no
  // loss.
  std::uint64_t deliver_from = 0;
  NotRecovered lost = NotRecovered::kNone;  // subscribers are to be told of a gap
  std::deque<Held> held;                    // what came meanwhile, in order
  std::vector<Waiter> waiting;
  absl::Time checked = absl::InfinitePast();
  absl::Time idle_since = absl::InfiniteFuture();
};

}  // namespace herald
