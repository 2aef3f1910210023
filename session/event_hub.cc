#include "session/event_hub.h"

#include <algorithm>

#include "absl/time/clock.h"

namespace herald {

bool EventFilter::Matches(const Event& event) const {
  if (kinds != 0 && (kinds & (1u << static_cast<int>(event.kind))) == 0) return false;
  if (topics.empty() || event.topic.empty()) return true;
  return std::any_of(topics.begin(), topics.end(),
                     [&](const TopicPattern& pattern) { return pattern.Matches(event.topic); });
}

bool EventHub::SkipUnwatched(absl::Time now) {
  MutexLock lock(mutex_);
  if (Watched(now)) return false;
  groups_.clear();
  events_.clear();
  bytes_ = 0;
  ++next_id_;
  return true;
}

void EventHub::Publish(Event event) {
  if (SkipUnwatched(event.time)) return;
  bool wake = false;
  {
    MutexLock lock(mutex_);
    event.id = next_id_++;
    bytes_ += event.size_bytes();
    events_.push_back(std::make_shared<const Event>(std::move(event)));
    while (events_.size() > max_events_ || (bytes_ > max_bytes_ && events_.size() > 1))
      DropOldest();
    wake = armed_ > 0;
  }
  if (wake) Wake();
}

bool EventHub::Watched(absl::Time now) const {
  return !watchers_.empty() || now < last_watched_ + kGroupKept;
}

void EventHub::DropOldest() {
  const Event& event = *events_.front();
  for (auto& [_, watcher] : watchers_) {
    if (!watcher->options.group.empty() || watcher->cursor >= event.id) continue;
    if (watcher->options.filter.Matches(event)) ++watcher->missed;
    watcher->cursor = event.id;
  }
  for (auto& [_, group] : groups_) {
    if (group->cursor >= event.id) continue;
    if (group->filter.Matches(event)) ++group->missed;
    group->cursor = event.id;
  }
  bytes_ -= event.size_bytes();
  events_.pop_front();
}

void EventHub::ForgetIdleGroups() {
  const absl::Time before = absl::Now() - kGroupKept;
  absl::erase_if(groups_, [&](const auto& entry) {
    return entry.second->watchers == 0 && entry.second->empty_since < before;
  });
}

absl::StatusOr<std::uint64_t> EventHub::AddWatcher(WatchOptions options,
                                                   absl::AnyInvocable<void()> wake) {
  MutexLock lock(mutex_);
  const std::uint64_t last = next_id_ - 1;
  if (!options.group.empty()) {
    auto it = groups_.find(options.group);
    if (it == groups_.end()) {
      ForgetIdleGroups();
      if (groups_.size() >= kMaxGroups) {
        return absl::ResourceExhaustedError("too many watch groups: 1024 are kept");
      }
      it = groups_.try_emplace(options.group, std::make_shared<Group>()).first;
      it->second->cursor = last;
    }
    it->second->filter = options.filter;
    ++it->second->watchers;
  }
  auto watcher = std::make_shared<Watcher>();
  const std::uint64_t since =
      options.since_event_id == 0 ? last : std::min(options.since_event_id, last);
  watcher->cursor = std::max(since, oldest() - 1);
  watcher->missed =
      watcher->cursor - since;  // gone before this watcher came: kinds are not known any more
  watcher->options = std::move(options);
  watcher->wake = std::move(wake);
  const std::uint64_t id = next_watcher_++;
  watchers_[id] = std::move(watcher);
  return id;
}

void EventHub::RemoveWatcher(std::uint64_t id) {
  bool wake = false;
  {
    MutexLock wakes(wake_mutex_);
    MutexLock lock(mutex_);
    auto it = watchers_.find(id);
    if (it == watchers_.end()) return;
    const Watcher& watcher = *it->second;
    if (watcher.armed) --armed_;
    if (!watcher.options.group.empty()) {
      Group& group = *groups_[watcher.options.group];
      for (auto flight = group.in_flight.begin(); flight != group.in_flight.end();) {
        if (flight->second.second == id) {
          group.redeliver[flight->first] = flight->second.first;
          flight = group.in_flight.erase(flight);
        } else {
          ++flight;
        }
      }
      if (--group.watchers == 0) group.empty_since = absl::Now();
      wake = !group.redeliver.empty() && armed_ > 0;
    }
    watchers_.erase(it);
    last_watched_ = absl::Now();
  }
  if (wake) Wake();
}

EventHub::Batch EventHub::Pull(std::uint64_t id, std::size_t max) {
  MutexLock lock(mutex_);
  Batch batch;
  auto it = watchers_.find(id);
  if (it == watchers_.end()) return batch;
  Watcher& watcher = *it->second;
  Group* group = watcher.options.group.empty() ? nullptr : groups_[watcher.options.group].get();
  std::uint64_t& cursor = group ? group->cursor : watcher.cursor;
  batch.missed = std::exchange(group ? group->missed : watcher.missed, 0);
  if (group) {
    max = std::min<std::size_t>(
        max, watcher.options.max_in_flight -
                 std::min<std::size_t>(watcher.in_flight, watcher.options.max_in_flight));
  }
  const auto deliver = [&](const EventPtr& event, bool again) {
    batch.events.push_back({event, again});
    if (!group) return;
    group->in_flight[event->id] = {event, id};
    ++watcher.in_flight;
  };
  while (group && !group->redeliver.empty() && batch.events.size() < max) {
    deliver(group->redeliver.begin()->second, true);
    group->redeliver.erase(group->redeliver.begin());
  }
  while (cursor + 1 < next_id_ && batch.events.size() < max) {
    const EventPtr& event = events_[cursor + 1 - oldest()];
    ++cursor;
    if (watcher.options.filter.Matches(*event)) deliver(event, false);
  }
  const bool arm = batch.events.empty() && batch.missed == 0;
  if (arm != watcher.armed) {
    watcher.armed = arm;
    armed_ = arm ? armed_ + 1 : armed_ - 1;
  }
  return batch;
}

void EventHub::Acknowledge(std::uint64_t id, const std::vector<std::uint64_t>& event_ids) {
  bool wake = false;
  {
    MutexLock lock(mutex_);
    auto it = watchers_.find(id);
    if (it == watchers_.end() || it->second->options.group.empty()) return;
    Group& group = *groups_[it->second->options.group];
    for (std::uint64_t event_id : event_ids) {
      auto flight = group.in_flight.find(event_id);
      if (flight == group.in_flight.end() || flight->second.second != id) continue;
      group.in_flight.erase(flight);
      --it->second->in_flight;
    }
    wake = armed_ > 0;
  }
  if (wake) Wake();
}

void EventHub::Wake() {
  MutexLock wakes(wake_mutex_);
  std::vector<WatcherPtr> woken;
  {
    MutexLock lock(mutex_);
    for (auto& [_, watcher] : watchers_) {
      if (!watcher->armed) continue;
      watcher->armed = false;
      --armed_;
      woken.push_back(watcher);
    }
  }
  for (const WatcherPtr& watcher : woken) watcher->wake();
}

std::uint64_t EventHub::last_event_id() const {
  MutexLock lock(mutex_);
  return next_id_ - 1;
}

std::size_t EventHub::watchers() const {
  MutexLock lock(mutex_);
  return watchers_.size();
}

}  // namespace herald
