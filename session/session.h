#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "session/close.h"
#include "session/compact_time.h"
#include "session/direct_slots.h"
#include "session/labels.h"
#include "session/message.h"
#include "session/outbound_queue.h"
#include "session/presence_news.h"
#include "session/session_id.h"
#include "session/tally.h"

namespace herald {

class Session;
class Shard;

// One topic's subscribers on one shard.
struct TopicSubscribers {
  struct Entry {
    Session* session;
    std::uint32_t slot;          // index in the session's `subscriptions_`
    std::uint32_t direct;        // the session's, in the shard's DirectSlots
    std::uint64_t start_offset;  // live messages at or below it are not for this session
  };
  std::string topic;
  absl::InlinedVector<Entry, 1> entries;  // most topics are one user's
  // By the topic's rule.
  Overflow overflow = Overflow::kDisconnect;
  bool join_leave = false;
};

// A message whose receipt is open for a session that has ended, and may come back for it.
struct Owed {
  MessagePtr message;
  bool written = false;  // to the session that ended
  DropReason reason = DropReason::kDisconnected;

  // Nobody comes for it.
  void GiveUp() const;
};

// The subscriptions that one command begins: `in_force` is answered for each session when its own are,
// or have come to nothing.
struct Joins {
  // `done` is told how many subscriptions came to nothing.
  explicit Joins(absl::AnyInvocable<void(std::uint64_t failed)> done)
      : in_force([this, done = std::move(done)](std::uint64_t) mutable { done(failed); }) {}
  Tally in_force;
  std::atomic<std::uint64_t> failed{0};
};
using JoinsPtr = std::shared_ptr<Joins>;

// One live client connection, as the shard sees it. ws/ derives the connection; tests derive a
// recorder.
//
// Threads:   owning shard only.
// Ownership: the shard's table holds a shared_ptr until the session ends; the connection's pending
//            operations hold others.
class Session : public std::enable_shared_from_this<Session>, private OutboundQueue::Observer {
 public:
  Session(Shard& shard, Encoding encoding, std::size_t max_outbound_bytes);
  virtual ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const SessionId& id() const { return id_; }
  // `<node>-<shard>-<hex>`; built on each call.
  std::string id_text() const;
  const std::string& user() const { return user_; }
  Protocol protocol() const { return encoding_.protocol; }
  // Of its messages; whatever else it is sent is never compressed.
  Encoding encoding() const { return encoding_; }
  const Labels& labels() const;
  void set_labels(Labels labels);
  const OutboundQueue& queue() const { return queue_; }
  // Given to the socket so far.
  std::uint64_t messages_out() const;
  std::uint64_t bytes_out() const;
  // Topics it is on, the personal and the broadcast topic included.
  std::vector<std::string> topics() const;
  // How many of them count for the limit of topics a session: not those two.
  std::size_t topic_count() const;
  bool IsOn(std::string_view topic) const;
  // Past `Close` nothing more is queued.
  bool closing() const { return closing_; }

  // Puts the session on all of `topics` from now on, as a producer's Join does; those it is on
  // stay. kResourceExhausted past the limit of topics a session, and then it is put on none. The
  // broker may take its time: `joins`, which may be null, expects one answer of this.
  absl::Status Join(const std::vector<std::string>& topics, const JoinsPtr& joins = nullptr);
  bool Leave(const std::string& topic);
  // Leaves the topics that the session may not be on any more, and ends it if it may not go on:
  // topic rules, keys or its token have changed.
  virtual void CheckRights() {}
  // The session was opened, or last refreshed, with the token that has this `jti`.
  virtual bool HasToken(std::string_view /*token_id*/) const { return false; }

  // Queues `frame`, to be written when the shard's drain ends. If it does not fit even after a
  // flush the session is closed as a slow consumer, and false comes back. `run`: what it carries,
  // if there are receipts to tell, which must have counted the session as matched already.
  bool Enqueue(const FramePtr& frame, const MessageRunPtr& run = nullptr);
  // Queues one message, as its options and `overflow` (its topic's) say. `tracking`: for its
  // receipt, which must have counted the session as matched already.
  void Deliver(const MessagePtr& message, Overflow overflow = Overflow::kDisconnect,
               Tracking tracking = Tracking::kNone);
  // The client has handled all messages of each topic up to `offset_of(topic)`; 0: it says nothing of
  // the topic. Looks at each unacknowledged batch once, however many topics the client names.
  void Acknowledge(absl::FunctionRef<std::uint64_t(std::string_view topic)> offset_of);
  void Acknowledge(std::string_view topic, std::uint64_t offset) {
    Acknowledge([&](std::string_view of) { return of == topic ? offset : 0; });
  }

  // The news as a frame, the same for all sessions of a protocol; null where it has none.
  virtual FramePtr MakePresence(const PresenceChange& /*change*/) const { return nullptr; }
  // Writes what is queued, as much as the socket takes.
  virtual void Flush() = 0;
  // The same as a part of a batch. Points `out` at what is to be written, says how many buffers
  // that is, and returns the descriptor; -1 if Flush has to do it.
  virtual int PrepareSend(std::span<iovec> /*out*/, std::size_t& /*n*/) { return -1; }
  // What came of it: bytes, or -errno. False if nothing is left to do; else Flush follows.
  virtual bool OnSent(ssize_t /*result*/) { return true; }
  // The socket, if a frame may be written to it at once, with nothing before it; else -1.
  int DirectSocket() const { return !closing_ && queue_.empty() ? Socket() : -1; }
  // Opens its slot, if that may be; false if not. It stands open until something may come in between.
  bool OpenDirect();
  // To be called before DirectSocket changes. What was written meanwhile is counted.
  void CloseDirect();
  // Of a frame that was counted at the slot no more than `written` bytes went.
  void QueueUnsent(const FramePtr& frame, std::size_t written);
  // Loads what Flush will look at: first the session itself, and once that is there, where it points.
  void Prefetch() const;
  virtual void PrefetchSocket() const {}
  // Ends a session that is closing and whose peer does not read, so that the kernel lets go of what
  // it holds for it.
  virtual void Abandon() {}
  // What the kernel holds in the socket's buffers. Costs a system call.
  virtual std::size_t KernelBytes() const { return 0; }
  // Begins the close; what is queued goes out first (for a slow consumer it is dropped).
  void Close(CloseRequest request);

  // What an operator may see of the connection.
  virtual std::string remote_address() const { return ""; }
  virtual std::string user_agent() const { return ""; }
  absl::Time opened_at() const { return opened_at_; }
  std::uint64_t messages_in() const { return messages_in_; }
  std::uint64_t bytes_in() const { return bytes_in_; }
  // Messages that did not reach it, by reason.
  std::array<std::uint32_t, kDropReasons> dropped() const {
    return extras_ ? extras_->dropped : std::array<std::uint32_t, kDropReasons>{};
  }

 protected:
  // The socket if it takes bytes as they are, and now; else -1.
  virtual int Socket() const { return -1; }
  // Does the close. Called once, with closing() true.
  virtual void DoClose(CloseRequest request) = 0;

  // Topics the session is on by its client's wish or its token: not those that a producer's Join put
  // it on, nor the personal and the broadcast topic.
  std::vector<std::string> ChosenTopics() const;

  Shard& shard() const { return shard_; }
  void set_user(std::string user) { user_ = std::move(user); }
  void CountIn(std::size_t bytes) {
    ++messages_in_;
    bytes_in_ += bytes;
  }
  // Everything queued and unsent is lost, and counted; so is, once the connection has `ended`, a
  // frame partly on the wire.
  void DropQueued(DropReason reason, bool ended);
  // To be called before anything is written.
  void DropExpired();
  // Tells the client that messages of a topic were lost, and goes on behind `position`; null where
  // the protocol has no such frame.
  virtual FramePtr MakeGap(const std::string& /*topic*/, std::string_view /*reason*/,
                           const Position& /*position*/) const {
    return nullptr;
  }

  // What the session that this one follows was owed. To be settled before it is delivered anything:
  // a topic that goes on after `since` is answered for (`missed` is what will be sent), and at the
  // end the rest is given up.
  void TakeOwed(std::vector<Owed> owed);
  void SettleOwed(std::string_view topic, std::uint64_t since, bool recovered);
  void GiveUpOwed();
  // Delivers a message of the log, for the receipt too if it was owed.
  void DeliverMissed(const MessagePtr& message, Overflow overflow);

 private:
  friend class Shard;
  friend class BatchFlush;
  struct Subscription {
    TopicSubscribers* topic;
    std::uint32_t index;       // in topic->entries
    bool by_producer = false;  // a Join asked for it; lies where alignment leaves room
  };
  // A producer wants the session on `topic`, whatever its client may do. It is on it.
  void MarkJoined(std::string_view topic);

  // What only few sessions have at a time.
  struct Extras {
    // A gap frame that is queued and not written.
    struct Gap {
      std::uint32_t topic;
      bool message_after = false;  // a message of the topic is queued behind it
    };
    struct Unacked {
      MessageRunPtr run;
      std::size_t next = 0;  // of its messages: those before are acknowledged
    };
    std::vector<Gap> gaps;
    std::vector<Unacked> unacked;  // written, and their receipts wait for the client
    std::vector<Owed> owed;        // by this session's own end, or that of the one before
    // Where in `owed` a message is; filled by the first DeliverMissed. Messages that were delivered
    // since then leave a null message behind.
    absl::flat_hash_map<const Message*, std::size_t> owed_at;
    std::array<std::uint32_t, kDropReasons> dropped{};
  };
  Extras& extras() {
    if (!extras_) extras_ = std::make_unique<Extras>();
    return *extras_;
  }

  void OnFilled() override { CloseDirect(); }
  void OnWritten(const Outbound& gone) override;
  void OnDropped(const Outbound& gone, DropReason reason) override;
  // False if `out` cannot be queued; it has been dropped then.
  bool MakeRoom(const Outbound& out);
  void Put(Outbound out, bool ahead);
  void Lose(const Outbound& out, DropReason reason);
  template <typename Drop>
  void CountLost(DropReason reason, Drop drop);
  void AddUnacked(MessageRunPtr run);
  // The client will not acknowledge what is left of it.
  void DropUnacked(const Extras::Unacked& unacked);
  // The session has left `topic`. Should it come back, its acknowledgements are for what it gets then.
  void StopAwaitingAcks(std::string_view topic);
  // The last of the messages that were lost, for this session alone.
  FramePtr MakeGapAt(const Message& last) const {
    return MakeGap(last.topic(), kDropReasonNames[static_cast<int>(DropReason::kSlowConsumer)],
                   last.position());
  }
  // All open receipts of a session that ends.
  std::vector<Owed> CollectOwed();

  // First what each delivery looks at, so that it lies in few cache lines.
  Shard& shard_;

 protected:
  [[no_unique_address]] OutboundQueue queue_;

 private:
  std::uint32_t direct_ = DirectSlots::kNone;
  [[no_unique_address]] SessionId id_;  // what follows stands where its alignment leaves room
  const Encoding encoding_;
  bool closing_ = false;
  bool may_come_back_ = true;  // once closing, or ended
  bool touched_ = false;       // in the shard's list of sessions to flush
  bool ended_by_producer_ = false;
  std::unique_ptr<Extras> extras_;
  std::string user_;
  std::unique_ptr<const Labels> labels_;  // null: it has none
  std::vector<Subscription> subscriptions_;
  CompactTime opened_at_ = absl::UnixEpoch();
  std::uint64_t messages_in_ = 0;
  std::uint64_t bytes_in_ = 0;
};

// While sessions are written to one after the other, whatever comes next is on its way from memory.
// `of` an element is its session, or null.
template <typename Element, typename Of>
void PrefetchAhead(std::span<const Element> elements, std::size_t at, Of of) {
  constexpr std::size_t kSockets = 2, kSessions = 4;  // herald-bench p2
  const auto next = [&](std::size_t ahead) -> const Session* {
    return at + ahead < elements.size() ? of(elements[at + ahead]) : nullptr;
  };
  if (const Session* session = next(kSessions)) session->Prefetch();
  if (const Session* session = next(kSockets)) session->PrefetchSocket();
}
inline void PrefetchAhead(const std::vector<Session*>& sessions, std::size_t at) {
  PrefetchAhead(std::span<Session* const>(sessions), at, [](Session* session) { return session; });
}

}  // namespace herald
