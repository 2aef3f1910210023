#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "session/event.h"
#include "session/size_ranks.h"
#include "session/string_map.h"

namespace herald {

// The events that watchers may still pull, in the order of their ids.
//
// Where the buffer is full, the oldest event goes; but an owner (a user, or a session without one)
// that holds more than 1/kOwnerShare of all loses the oldest of its own instead, and so cannot push
// out what others did.
//
// Threads:   none of its own; the hub's lock covers it.
// Limits:    `max_events` and `max_bytes`; one event always fits.
class EventBuffer {
 public:
  static constexpr std::size_t kOwnerShare = 16;

  EventBuffer(std::size_t max_events, std::size_t max_bytes)
      : max_events_(max_events), max_bytes_(max_bytes) {}

  // The id of the next event.
  std::uint64_t next_id() const { return next_id_; }
  // The first event behind `id`; null if there is none. O(log n).
  EventPtr After(std::uint64_t id) const;
  // How many there are behind `id`. O(n).
  std::size_t CountAfter(std::uint64_t id) const;

  // Appends `event`, whose id is next_id(). `lost` is called for each event that has to go for it.
  void Push(EventPtr event, absl::FunctionRef<void(const Event&)> lost);
  // True if the event with this id is still here. O(log n).
  bool Has(std::uint64_t id) const;
  // So many bytes of `max_bytes` are taken elsewhere; may be called by `lost`.
  void SetTaken(std::size_t bytes) { taken_ = bytes; }
  // Gives away an id without an event, and forgets all.
  void SkipAll();

  std::size_t bytes() const { return bytes_; }
  // Events that had to go: the oldest, or the owner's own.
  std::uint64_t dropped_oldest() const { return dropped_oldest_; }
  std::uint64_t dropped_own() const { return dropped_own_; }

 private:
  struct Owner {
    std::string name;
    std::size_t bytes = 0;
    std::deque<std::uint64_t> ids;  // of its events, the oldest first
    SizeRanks<Owner>::Place place;
  };
  struct Entry {
    std::uint64_t id = 0;
    EventPtr event;  // null: it has gone
    Owner* owner = nullptr;
  };
  using Entries = std::deque<Entry>;

  Owner& OwnerOf(const Event& event);
  // The first entry behind `id`.
  Entries::const_iterator Behind(std::uint64_t id) const;
  void Drop(std::uint64_t id, absl::FunctionRef<void(const Event&)> lost);
  bool full() const { return live_ > max_events_ || (bytes_ + taken_ > max_bytes_ && live_ > 1); }

  const std::size_t max_events_;
  const std::size_t max_bytes_;
  Entries events_;  // the first one is live; entries that have gone are at most half, or few
  std::uint64_t next_id_ = 1;
  std::size_t live_ = 0;
  std::size_t bytes_ = 0;
  std::size_t taken_ = 0;
  std::uint64_t dropped_oldest_ = 0;
  std::uint64_t dropped_own_ = 0;
  StringMap<std::unique_ptr<Owner>> owners_;
  SizeRanks<Owner> by_size_;
};

}  // namespace herald
