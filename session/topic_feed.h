#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "session/message.h"
#include "session/owner.h"
#include "session/tally.h"

namespace herald {

class Shard;

// Why a session does not get what it missed; the names are those of the client protocol.
enum class NotRecovered : std::uint8_t { kNone, kEpoch, kRollback, kExpired, kLimit };
inline constexpr const char* kNotRecoveredNames[] = {"", "epoch", "rollback", "expired", "limit"};

// Where a subscription begins.
struct FeedStart {
  // The position after which live messages follow. Empty for topics without history.
  Position position;
  // What the session missed: exactly what the log holds after the position it named. Either whole,
  // or empty and not recovered.
  std::vector<MessagePtr> missed;
  bool recovered = false;
  NotRecovered reason = NotRecovered::kNone;
};

// A message on its way to a topic.
struct Publication {
  MessageBodyPtr body;
  std::string topic;
  ExceptionsPtr except;  // may be null
  TallyPtr tally;    // may be null; else each shard that is asked answers how many sessions it met
  bool keep = true;  // false: live-only, even where the topic has a history
  // May be null. Its receipt, if any, is held for each shard that is asked.
  DeliveryOptionsPtr options;
  // Both empty unless the command may be repeated: what makes a repeat known as one, and what tells
  // whether it is the same command. A broker with a store of its own recognises repeats by them that
  // another replica took; for one in memory that is done before it is asked.
  std::string dedupe_id;
  std::string fingerprint;
  // Of the producer; 0 for clients. A history belongs to whoever published to it last (MemoryBroker).
  OwnerId owner = 0;
};

struct Published {
  Position position;  // empty where nothing was kept
  std::uint64_t matched =
      0;  // subscribers on this node when it was published, exceptions not counted off
  bool duplicate = false;  // a repeat: nothing was published, and this is where the first one is
  // Other nodes may have subscribers too: whether there were any, only the receipt learns.
  bool elsewhere = false;
};

// What sessions need from the layer that orders messages; the broker implements it.
class TopicFeed {
 public:
  virtual ~TopicFeed() = default;

  using SubscribeDone = absl::AnyInvocable<void(absl::StatusOr<FeedStart>)>;
  // One more subscriber of `topic` on `shard`. Atomic: messages published after
  // `FeedStart::position` reach the shard's mailbox, and none before it is missing from `missed`.
  // The shard drops what comes at or below the position.
  //
  // Threads: called on the shard's thread; `done` runs there too, maybe before this returns.
  // Errors:  kResourceExhausted (the topic's max_subscribers), kUnavailable (broker away).
  virtual void Subscribe(Shard& shard, const std::string& topic, std::optional<Position> since,
                         std::uint64_t max_subscribers, SubscribeDone done) = 0;
  // One subscriber less. On the shard's thread.
  virtual void Unsubscribe(Shard& shard, const std::string& topic) = 0;

  using PublishDone = absl::AnyInvocable<void(absl::StatusOr<Published>)>;
  // Gives the message its place in the topic's order and sends it to all shards with subscribers.
  // Publications of one thread to one topic keep their order. Threads: any; `done` may run before
  // this returns, or on another thread.
  virtual void Publish(Publication publication, PublishDone done) = 0;
};

}  // namespace herald
