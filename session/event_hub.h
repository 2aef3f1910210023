#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "session/event.h"
#include "session/event_buffer.h"
#include "session/mutex.h"
#include "session/string_map.h"
#include "session/topic_name.h"

namespace herald {

// Which events a watcher wants.
struct EventFilter {
  std::uint32_t kinds = 0;           // bit i: EventKind i; 0 means all
  std::vector<TopicPattern> topics;  // empty means all; events without a topic always pass

  bool Matches(const Event& event) const;
};

struct WatchOptions {
  EventFilter filter;
  std::string group;  // empty: this watcher gets everything
  std::uint64_t since_event_id = 0;
  std::uint32_t max_in_flight = 1024;  // unacknowledged events out to this watcher; only for groups
  bool remote = false;  // in the name of another node: gets this node's own events alone
};

// Keeps the last events in order and hands them to watchers, who pull: a slow watcher costs
// nothing but its place in the buffer, and is told how many events it missed once it fell out.
//
// Watchers of one group share a cursor and the events in flight; what an ended watcher had not
// acknowledged goes to the group's next pull, marked as redelivered. A group without watchers
// keeps its place for `kGroupKept`, so that a restarting backend misses nothing that is still
// buffered. While nobody watches, nor has for that long, events are numbered and not kept.
//
// In a cluster a node watches the others in the name of its watchers (EventExchange): those are
// remote watchers there, and what they get is imported here, under an id of this hub. Of a group each
// event goes to one watcher of the cluster, since its own hub gives it to one member.
//
// Threads:   any. `wake` callbacks run on the thread that publishes, outside the lock; they must
//            not block.
// Owners:    the part of a group's name before kGroupOf names the producer that it belongs to.
// Limits:    `max_events` buffered events, and `max_bytes` for those and what groups hold: events in
//            flight, to be redelivered, or imported (event_buffer.h says which go). What groups hold
//            is at most half of that, and a quarter for those of one owner: past either, a group gets
//            nothing new until events are acknowledged. Of a group one watcher holds an eighth of
//            `max_bytes` at most, so that one that acknowledges nothing does not starve the others. One
//            event always fits.
//            kMaxGroups groups, at most half of them of one owner.
class EventHub {
 public:
  static constexpr std::size_t kMaxGroups = 1024;
  static constexpr std::size_t kPullBytes = 256 * 1024;
  static constexpr char kGroupOf = '\x1f';  // no name of a producer holds it
  static constexpr absl::Duration kGroupKept = absl::Minutes(10);

  EventHub(std::size_t max_events, std::size_t max_bytes)
      : max_bytes_(max_bytes), events_(max_events, max_bytes) {}

  void Publish(Event event);
  // True if nobody would get an event of now: then it has got its number and need not be made.
  bool SkipUnwatched(absl::Time now);

  struct Delivered {
    EventPtr event;
    bool redelivered = false;
  };
  struct Batch {
    std::vector<Delivered> events;
    std::size_t bytes = 0;  // of the events
    std::uint64_t missed = 0;
  };

  // Registers a watcher. `wake` is called when there may be something to pull after a Pull that
  // came back empty. kResourceExhausted past kMaxGroups groups, or half of them of one owner.
  absl::StatusOr<std::uint64_t> AddWatcher(WatchOptions options, absl::AnyInvocable<void()> wake);
  // No `wake` of this watcher runs after this returns.
  void RemoveWatcher(std::uint64_t watcher);
  // The next events for this watcher: at most `max`, and no more once they hold `max_bytes`. If it is
  // empty, the next `wake` is armed.
  Batch Pull(std::uint64_t watcher, std::size_t max, std::size_t max_bytes = kPullBytes);
  void Acknowledge(std::uint64_t watcher, const std::vector<std::uint64_t>& event_ids);

  std::uint64_t last_event_id() const;
  // Of this node.
  std::size_t watchers() const;
  struct Counts {
    std::size_t bytes = 0;             // what groups hold included
    std::uint64_t dropped_oldest = 0;  // buffered events that had to go: see EventBuffer
    std::uint64_t dropped_own = 0;
  };
  Counts counts() const;

  // --- other nodes ---

  // What this node's watchers want of the others.
  struct Wanted {
    struct Group {
      EventFilter filter;
      std::uint32_t max_in_flight = 0;  // of all its watchers here
    };
    bool all = false;  // somebody has no group, or had none within kGroupKept
    std::map<std::string, Group> groups;
  };
  Wanted wanted() const;
  // Calls, on any thread and outside the lock: where `wanted` may have changed, and for each imported
  // event that a watcher of `group` has acknowledged. To be set before anything else is done.
  void set_on_wanted(std::function<void()> changed) { on_wanted_ = std::move(changed); }
  using Acknowledged = std::function<void(const std::string& group, const Event& event)>;
  void set_on_acknowledged(Acknowledged acknowledged) {
    on_acknowledged_ = std::move(acknowledged);
  }
  // An event of another node for the watchers of `group`, or those without one where it is empty.
  void Import(Event event, const std::string& group, bool redelivered);
  // So many events of another node are gone.
  void ImportMissed(const std::string& group, std::uint64_t missed);
  // Forgets imported events of the group that have not been acknowledged: their node gives them to
  // others.
  void DropImported(const std::string& group, std::string_view node);
  // Changes what a remote watcher gets.
  void SetWatch(std::uint64_t watcher, EventFilter filter, std::uint32_t max_in_flight);

 private:
  // What the groups of one producer have.
  struct Share {
    std::size_t groups = 0;
    std::size_t bytes = 0;
  };
  using Shares = std::map<std::string, Share, std::less<>>;  // by the owner; only those with groups
  struct Group {
    Shares::iterator share;
    std::uint64_t cursor = 0;  // id of the last event looked at
    EventFilter filter;        // of the watcher that came last
    std::map<std::uint64_t, std::pair<EventPtr, std::uint64_t>>
        in_flight;  // event id -> event, watcher
    std::map<std::uint64_t, EventPtr> redeliver;
    std::deque<Delivered> imported;  // for watchers of this node
    std::size_t watchers = 0;
    std::uint64_t missed = 0;
    absl::Time empty_since;
  };
  struct Watcher {
    WatchOptions options;
    absl::AnyInvocable<void()> wake;
    std::uint64_t cursor = 0;  // without a group
    std::uint64_t missed = 0;
    std::size_t in_flight = 0;
    std::size_t in_flight_bytes = 0;
    bool armed = false;
  };
  using WatcherPtr = std::shared_ptr<Watcher>;

  absl::StatusOr<std::uint64_t> Add(WatchOptions options, absl::AnyInvocable<void()> wake);
  static bool IsFor(const Watcher& watcher, const Event& event);
  EventPtr Append(Event event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Changed() {
    if (on_wanted_) on_wanted_();
  }
  // Somebody watches, or may come back to where it was.
  bool Watched(absl::Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // `event` leaves the buffer: those who have not pulled it are told later.
  void CountMissed(const Event& event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ForgetIdleGroups() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The group goes, with what it holds.
  void Forget(Group& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // True if the group may hold `event` too.
  bool Fits(const Group& group, const Event& event) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The group holds `event`, until it lets go of it.
  void Hold(Group& group, const Event& event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LetGo(Group& group, const Event& event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // An event that groups hold is not in the buffer any more, or is gone.
  void CountOutside(std::size_t more, std::size_t less) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    outside_bytes_ += more - less;
    events_.SetTaken(outside_bytes_);
  }
  // Calls the wakes of armed watchers; `mutex_` must not be held.
  void Wake();

  // An event that groups hold.
  struct Held {
    std::size_t groups = 0;
    bool outside = false;  // of the buffer
  };

  const std::size_t max_bytes_;
  std::function<void()> on_wanted_;
  Acknowledged on_acknowledged_;
  mutable Mutex mutex_;
  // Held while wakes run, so that RemoveWatcher can wait for them. Taken before mutex_.
  Mutex wake_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  EventBuffer events_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t next_watcher_ ABSL_GUARDED_BY(mutex_) = 1;
  std::size_t armed_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::uint64_t, WatcherPtr> watchers_ ABSL_GUARDED_BY(mutex_);
  StringMap<std::shared_ptr<Group>> groups_ ABSL_GUARDED_BY(mutex_);
  Shares shares_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::uint64_t, Held> held_ ABSL_GUARDED_BY(mutex_);  // by event id
  std::size_t held_bytes_ ABSL_GUARDED_BY(mutex_) = 0;                     // of those, each once
  std::size_t outside_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // of those that the buffer has let go of
  absl::Time last_watched_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();  // until when
  absl::Time last_all_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();  // by one without a group
};

}  // namespace herald
