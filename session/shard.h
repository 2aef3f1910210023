#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/hash/hash.h"
#include "absl/status/status.h"
#include "session/batch_sender.h"
#include "session/close.h"
#include "session/closing_wave.h"
#include "session/direct_send.h"
#include "session/direct_slots.h"
#include "session/event_hub.h"
#include "session/keyed_set.h"
#include "session/mailbox.h"
#include "session/message.h"
#include "session/rights_check.h"
#include "session/session.h"
#include "session/slow_sessions.h"
#include "session/string_map.h"
#include "session/timer_wheel.h"
#include "session/topic_feed.h"
#include "session/topic_rules.h"
#include "session/unfinished_messages.h"
#include "session/wake_event.h"

namespace herald {

struct ShardOptions {
  int index = 0;
  std::string node;
  Encoders encoders{};
  MailboxLimits mailbox;
  std::size_t max_outbound_bytes = std::size_t{1} << 30;  // queued for all its sessions
  std::uint32_t max_topics_per_session = 128;
  EventHub* events = nullptr;        // may be null: then nobody watches
  PresenceNews* presence = nullptr;  // may be null: then nobody is told
  // Empty: each session is written to by a call of its own.
  std::function<std::unique_ptr<BatchSender>()> make_batch_sender;
  // Null: nothing but the defaults holds for any topic.
  std::shared_ptr<const TopicRules> rules;
};

// Counters of one shard: written by its thread alone, read by any.
struct ShardStats {
  std::atomic<std::uint64_t> sessions{0};
  std::atomic<std::uint64_t> sessions_opened{0};
  std::atomic<std::uint64_t> deliveries{0};  // messages queued to sessions
  std::atomic<std::uint64_t> bytes_out{0};   // given to sockets
  std::atomic<std::int64_t> queued_bytes{0};
  std::atomic<std::uint64_t> client_frames{0};
  std::atomic<std::uint64_t> dropped[kDropReasons]{};
  std::atomic<std::uint64_t> drains{0};
};

// Sessions by their id.
struct SessionKey {
  static const SessionId& Of(const SessionId& id) { return id; }
  static const SessionId& Of(const std::shared_ptr<Session>& session) { return session->id(); }
};
using SessionSet = KeyedSet<std::shared_ptr<Session>, SessionKey, absl::Hash<SessionId>>;

// Topics by their name.
struct TopicKey {
  static std::string_view Of(std::string_view topic) { return topic; }
  static std::string_view Of(const std::unique_ptr<TopicSubscribers>& topic) {
    return topic->topic;
  }
};
using TopicSet = KeyedSet<std::unique_ptr<TopicSubscribers>, TopicKey, StringHash>;

// One thread, one io_context, its sessions and its slice of the session table.
//
// Threads:   Post, Deliver, NotifyWhenLow and the plain getters from any; everything under "shard
//            only" on its own thread (asserted). Its code takes no lock but the mailbox's, held
//            for one swap.
// Order:     mail takes effect in the order of posting.
class Shard {
 public:
  explicit Shard(ShardOptions options);
  ~Shard();
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  // Starts the thread. `feed` must outlive it.
  void Start(TopicFeed& feed);
  // Ends the loop once the current handlers are done, and joins. Sessions still there are dropped.
  void Stop();

  int index() const { return options_.index; }
  const std::string& node() const { return options_.node; }
  const Encoders& encoders() const { return options_.encoders; }
  boost::asio::io_context& io() { return io_; }
  TopicFeed& feed() { return *feed_; }
  bool IsCurrent() const {
    return std::this_thread::get_id() == thread_id_.load(std::memory_order_relaxed);
  }
  ShardStats& stats() { return stats_; }
  const Mailbox& mailbox() const { return mailbox_; }

  // `bytes`: what the task holds; counts for the mailbox's watermark.
  void Post(absl::AnyInvocable<void()> task, std::size_t bytes = 0);
  void Deliver(MessagePtr message, ExceptionsPtr except, TallyPtr tally);
  bool AboveHighWatermark() const { return mailbox_.AboveHighWatermark(); }
  bool NotifyWhenLow(absl::AnyInvocable<void()> resume) {
    return mailbox_.NotifyWhenLow(std::move(resume));
  }

  // --- shard only ---

  // Takes the session into the table and gives it an id.
  void Add(std::shared_ptr<Session> session, std::string user);
  // Takes it off all its topics, and tells the watchers. While messages are delivered it waits for
  // the end of the drain.
  void LeaveAll(Session& session);
  // Leaves all topics and lets go of it. The caller keeps it alive for the call.
  void Remove(Session& session);
  // Keeps what an ended session is owed, for the one that follows it.
  void KeepOwed(const SessionId& id, std::string user, std::vector<Owed> owed);
  // Ends the session `id` of `user`, if it is still there, as resumed elsewhere (4409), and hands
  // out what it is owed. Sessions of another user stay as they are.
  std::vector<Owed> TakeOver(const SessionId& id, std::string_view user);
  // Null if it is not here or is closing.
  Session* Find(const SessionId& id);
  Session* FindAny(const SessionId& id);  // closing ones too
  const SessionSet& sessions() const { return sessions_; }
  // Null if nobody here is on the topic.
  const TopicSubscribers* FindTopic(std::string_view topic) const;

  using SubscribeDone = absl::AnyInvocable<void(absl::StatusOr<FeedStart>)>;
  // Subscribes from `since` (or from now). The caller sends `FeedStart::missed` in `done`, before
  // anything live can come. kAlreadyExists if the session is on it. `done` is not called for a
  // session that has ended meanwhile.
  void Subscribe(Session& session, const std::string& topic, std::optional<Position> since,
                 std::uint64_t max_subscribers, SubscribeDone done);
  // Messages of `topic` were lost before they came here, or its log began anew: tells its subscribers
  // why, and that they go on behind `position`. What they have not acknowledged they need no more.
  void TellGap(const std::string& topic, std::string_view reason, const Position& position);
  // Tells the subscribers of the topic, but not the one it is about.
  void TellPresence(const PresenceChange& change);
  // False if it was not on it.
  bool Unsubscribe(Session& session, std::string_view topic);

  // Ends all sessions: see ClosingWave::Start.
  void CloseOver(absl::Duration over, absl::Duration spread) { closing_wave_.Start(over, spread); }

  // Lets all sessions check their rights again: see RightsCheck.
  void CheckRights() { rights_check_.Start(); }

  // New limits and topic rules count from now on. Topics that have subscribers keep telling who comes
  // and goes, or not, as before; whether sessions may stay on their topics is for CheckRights.
  void Reconfigure(std::size_t max_outbound_bytes, std::uint32_t max_topics_per_session);

  TimerWheel& timers() { return timers_; }
  DirectSlots& direct_slots() { return direct_slots_; }
  void Touch(Session& session);
  // `message` as a run of its own; the same one for all sessions that ask one after the other.
  const MessageRunPtr& RunOf(const MessagePtr& message);
  // Something has been counted on the run: its receipts are told when the drain ends.
  void SettleSoon(const MessageRunPtr& run);

  // Tells the watchers. Kind, session id, user and time are filled in; `fill` adds the rest, and is
  // not called if there are none.
  void Emit(const Session& session, EventKind kind, absl::FunctionRef<void(Event&)> fill);
  std::uint32_t max_topics_per_session() const { return options_.max_topics_per_session; }

  // Memory of its sessions.
  SlowSessions& slow_sessions() { return slow_sessions_; }
  // Of connections that have said `connect`, and of those that have not.
  UnfinishedMessages& unfinished() { return unfinished_; }
  UnfinishedMessages& unauthenticated() { return unauthenticated_; }
  std::size_t max_outbound_bytes() const { return options_.max_outbound_bytes; }

  // Accounting for sessions.
  bool outbound_full(std::size_t bytes) const;
  void CountQueued(std::int64_t bytes, std::uint64_t messages);
  void CountWritten(std::size_t bytes);
  void CountDirect(std::uint64_t bytes, std::uint64_t messages);
  void CountDropped(DropReason reason, std::uint64_t messages);

 private:
  // Consecutive messages of one topic that are being collected, to go to its subscribers as one
  // frame a protocol.
  struct Run {
    TopicSubscribers* topic = nullptr;
    std::vector<MessagePtr> messages;
    std::size_t bytes = 0;
    bool reports = false;  // some have a receipt
  };

  void OnWake();
  // One turn: at most so many mails that sockets and timers are not kept waiting.
  void Drain();
  void HandleMail(Mail& mail);
  void DeliverSingly(TopicSubscribers& topic, const Mail& mail);
  // `last`: of the drain.
  void FinishRun(bool last = false);
  // What of the run lies behind the start of a session that subscribed while it was under way.
  void DeliverBehindStart(const TopicSubscribers::Entry& entry);
  // What is collected, as one frame.
  FramePtr JoinRun(Encoding encoding) const;
  void FlushSoon();
  // Ends a drain, or a handler that touched sessions outside one: writes, lets ended sessions go,
  // and tells the receipts.
  void FlushTouched();
  void FlushSessions();
  // Those who waited because entries were being walked. Not before the drain ends: until then the
  // topics of runs must stay.
  void RemoveEnded();
  void ScheduleTick();
  void ForgetOwed();
  TopicSubscribers& SubscribersOf(const std::string& topic);

  ShardOptions options_;  // limits change, on its thread; all else stays
  TopicFeed* feed_ = nullptr;
  Mailbox mailbox_;
  ShardStats stats_;
  std::atomic<std::thread::id> thread_id_;

  TimerWheel timers_;
  UnfinishedMessages unfinished_{timers_};
  UnfinishedMessages unauthenticated_{timers_};
  SlowSessions slow_sessions_{*this};
  ClosingWave closing_wave_{*this};
  RightsCheck rights_check_{*this};
  SessionSet sessions_;
  TopicSet topics_;
  // What sessions that have ended are owed: by then their receipts have run out.
  struct Ended {
    std::string user;
    std::vector<Owed> owed;
  };
  absl::flat_hash_map<SessionId, Ended> owed_;
  std::deque<std::pair<std::chrono::steady_clock::time_point, SessionId>> owed_until_;
  std::vector<Session*> touched_;
  std::unique_ptr<BatchSender> batch_sender_;  // null: there is none
  std::optional<BatchFlush> batch_flush_;
  DirectSlots direct_slots_;
  DirectSend direct_send_{*this};
  std::vector<MessageRunPtr> unsettled_;
  MessageRunPtr single_;  // what RunOf returned last
  std::vector<Mail> draining_;
  std::size_t drained_ = 0;
  bool continues_ = false;  // the next turn has been posted
  Run run_;
  bool in_drain_ = false;                            // FlushTouched follows
  bool flush_posted_ = false;                        // or has been posted
  bool delivering_ = false;                          // entries are walked: ending waits
  std::vector<std::shared_ptr<Session>> to_leave_;   // who waited for LeaveAll
  std::vector<std::shared_ptr<Session>> to_remove_;  // who waited for Remove
  // After all that a connection's destructor touches: handlers still pending die with the context.
  boost::asio::io_context io_{1};
  WakeEvent wake_{io_};
  boost::asio::steady_timer tick_timer_{io_};
  std::chrono::steady_clock::time_point last_tick_;
  std::thread thread_;
};

}  // namespace herald
