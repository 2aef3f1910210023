#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/time/time.h"
#include "session/message.h"
#include "session/topic_feed.h"

namespace herald {

// The last messages of one topic, in order, each with its position. Offsets grow, and may leave some out.
//
// Threads:   none of its own; the broker's stripe lock covers it.
// Limits:    `max_messages`, and messages older than `max_age` are gone.
class TopicLog {
 public:
  // `start`: the position before the first message.
  TopicLog(Position start, std::size_t max_messages, absl::Duration max_age);

  void SetLimits(std::size_t max_messages, absl::Duration max_age, absl::Time now);

  // The position that the next message will get; `Append` must follow with a message at it.
  Position Next() const;
  void Append(MessagePtr message, absl::Time now);

  // The newest position; offset 0 before the first message.
  Position current() const { return current_; }

  struct Missed {
    std::vector<MessagePtr> messages;
    NotRecovered reason = NotRecovered::kNone;
  };
  // Exactly what follows `since`, or why it cannot be told. Messages whose time is up (their ttl)
  // are not handed out any more, and not missed. `trusted`: the caller has made sure that `since` is
  // a position of this log's epoch, be it one between two messages.
  Missed After(const Position& since, absl::Time now, bool trusted = false);
  // At most `limit` of the messages behind `since` (or of all), oldest first or newest first.
  std::vector<MessagePtr> Read(std::optional<Position> since, std::size_t limit, bool reverse,
                               absl::Time now);

  // Puts what came before the oldest message in front of it, as far as there is room. `before`: the
  // position that the first of `older` follows.
  void ExtendBack(std::vector<MessagePtr> older, const Position& before);
  // The position behind which all messages are kept.
  const Position& before_oldest() const { return before_oldest_; }
  // The message at `offset`; null if it is not kept.
  const Message* At(std::uint64_t offset) const;

  // Lets go of what is too old.
  void Expire(absl::Time now);
  bool empty() const { return messages().empty(); }
  std::size_t bytes() const { return bytes_; }
  // When the last message came, or the log was made.
  absl::Time last_used() const { return last_used_; }
  void PopOldest();

 private:
  std::size_t max_messages_;
  absl::Duration max_age_;
  // Those that are kept.
  std::span<const MessagePtr> messages() const { return std::span(messages_).subspan(popped_); }
  // How many of them are at or below `offset`.
  std::size_t CountUpTo(std::uint64_t offset) const;

  // A log that is empty holds no memory: most users' personal topics are.
  std::vector<MessagePtr> messages_;
  std::size_t popped_ = 0;  // of them, at the front: null
  std::size_t bytes_ = 0;
  Position current_;
  // The fence of the newest message that is gone, so that a position at it is still known to be
  // ours.
  Position before_oldest_;
  absl::Time last_used_;
};

}  // namespace herald
