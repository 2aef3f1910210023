#include "session/event_hub.h"

#include <algorithm>

#include "absl/time/clock.h"

namespace herald {
namespace {

// Of `max_bytes`, for one watcher of a group.
constexpr std::size_t kWatcherPart = 8;

}  // namespace

bool EventFilter::Matches(const Event& event) const {
  if (kinds != 0 && (kinds & (1u << static_cast<int>(event.kind))) == 0) return false;
  if (topics.empty() || event.topic.empty()) return true;
  return std::any_of(topics.begin(), topics.end(),
                     [&](const TopicPattern& pattern) { return pattern.Matches(event.topic); });
}

bool EventHub::SkipUnwatched(absl::Time now) {
  MutexLock lock(mutex_);
  if (Watched(now)) return false;
  for (auto& [_, group] : groups_) Forget(*group);
  groups_.clear();
  events_.SkipAll();
  return true;
}

void EventHub::Publish(Event event) {
  if (SkipUnwatched(event.time)) return;
  bool wake = false;
  {
    MutexLock lock(mutex_);
    Append(std::move(event));
    wake = armed_ > 0;
  }
  if (wake) Wake();
}

EventPtr EventHub::Append(Event event) {
  event.id = events_.next_id();
  const EventPtr shared = std::make_shared<const Event>(std::move(event));
  events_.Push(shared, [this](const Event& lost) ABSL_NO_THREAD_SAFETY_ANALYSIS {  // it is held
    CountMissed(lost);
    const auto held = held_.find(lost.id);
    if (held == held_.end() || held->second.outside) return;
    held->second.outside = true;
    CountOutside(lost.size_bytes(), 0);
  });
  return shared;
}

bool EventHub::IsFor(const Watcher& watcher, const Event& event) {
  const bool whose = event.scope == Event::Scope::kOwn ||
                     (event.scope == Event::Scope::kImported && !watcher.options.remote &&
                      watcher.options.group.empty());
  return whose && watcher.options.filter.Matches(event);
}

bool EventHub::Watched(absl::Time now) const {
  return !watchers_.empty() || now < last_watched_ + kGroupKept;
}

void EventHub::CountMissed(const Event& event) {
  for (auto& [_, watcher] : watchers_) {
    if (!watcher->options.group.empty() || watcher->cursor >= event.id) continue;
    if (IsFor(*watcher, event)) ++watcher->missed;
  }
  for (auto& [_, group] : groups_) {
    if (group->cursor >= event.id) continue;
    if (event.scope == Event::Scope::kOwn && group->filter.Matches(event)) ++group->missed;
  }
}

void EventHub::ForgetIdleGroups() {
  const absl::Time before = absl::Now() - kGroupKept;
  absl::erase_if(groups_, [&](const auto& entry) ABSL_NO_THREAD_SAFETY_ANALYSIS {  // it is held
    const bool idle = entry.second->watchers == 0 && entry.second->empty_since < before;
    if (idle) Forget(*entry.second);
    return idle;
  });
}

void EventHub::Forget(Group& group) {
  for (const auto& [_, flight] : group.in_flight) LetGo(group, *flight.first);
  for (const auto& [_, event] : group.redeliver) LetGo(group, *event);
  for (const Delivered& one : group.imported) LetGo(group, *one.event);
  if (--group.share->second.groups == 0) shares_.erase(group.share);
}

bool EventHub::Fits(const Group& group, const Event& event) const {
  const auto& [owner, share] = *group.share;
  if (share.bytes == 0) return true;
  const std::size_t bytes = event.size_bytes();
  if (!owner.empty() && share.bytes + bytes > max_bytes_ / 4) return false;
  return held_.contains(event.id) || held_bytes_ + bytes <= max_bytes_ / 2;
}

void EventHub::Hold(Group& group, const Event& event) {
  const std::size_t bytes = event.size_bytes();
  group.share->second.bytes += bytes;
  Held& held = held_[event.id];
  if (held.groups++ > 0) return;
  held_bytes_ += bytes;
  held.outside = !events_.Has(event.id);
  if (held.outside) CountOutside(bytes, 0);
}

void EventHub::LetGo(Group& group, const Event& event) {
  const std::size_t bytes = event.size_bytes();
  group.share->second.bytes -= bytes;
  const auto held = held_.find(event.id);
  if (--held->second.groups > 0) return;
  held_bytes_ -= bytes;
  if (held->second.outside) CountOutside(0, bytes);
  held_.erase(held);
}

absl::StatusOr<std::uint64_t> EventHub::AddWatcher(WatchOptions options,
                                                   absl::AnyInvocable<void()> wake) {
  absl::StatusOr<std::uint64_t> id = Add(std::move(options), std::move(wake));
  if (id.ok()) Changed();
  return id;
}

absl::StatusOr<std::uint64_t> EventHub::Add(WatchOptions options, absl::AnyInvocable<void()> wake) {
  MutexLock lock(mutex_);
  const std::uint64_t last = events_.next_id() - 1;
  if (!options.group.empty()) {
    auto it = groups_.find(options.group);
    if (it == groups_.end()) {
      ForgetIdleGroups();
      if (groups_.size() >= kMaxGroups) {
        return absl::ResourceExhaustedError("too many watch groups: 1024 are kept");
      }
      const std::size_t end = options.group.find(kGroupOf);
      const std::string owner =
          end == std::string::npos ? std::string() : options.group.substr(0, end);
      const auto share = shares_.try_emplace(owner).first;
      if (!owner.empty() && share->second.groups >= kMaxGroups / 2) {
        return absl::ResourceExhaustedError("too many watch groups of this producer: 512 are kept");
      }
      ++share->second.groups;
      it = groups_.try_emplace(options.group, std::make_shared<Group>()).first;
      it->second->share = share;
      it->second->cursor = last;
    }
    it->second->filter = options.filter;
    ++it->second->watchers;
  }
  auto watcher = std::make_shared<Watcher>();
  const std::uint64_t since =
      options.since_event_id == 0 ? last : std::min(options.since_event_id, last);
  watcher->cursor = since;
  // Gone before this watcher came: kinds are not known any more.
  watcher->missed = last - since - events_.CountAfter(since);
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
    last_watched_ = absl::Now();
    if (watcher.options.group.empty() && !watcher.options.remote) last_all_ = last_watched_;
    watchers_.erase(it);
  }
  if (wake) Wake();
  Changed();
}

EventHub::Batch EventHub::Pull(std::uint64_t id, std::size_t max, std::size_t max_bytes) {
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
    batch.bytes += event->size_bytes();
    if (!group) return;
    group->in_flight[event->id] = {event, id};
    ++watcher.in_flight;
    watcher.in_flight_bytes += event->size_bytes();
  };
  const auto room = [&] {
    return batch.events.size() < max && batch.bytes < max_bytes &&
           (!group || watcher.in_flight_bytes < max_bytes_ / kWatcherPart);
  };
  if (group) {
    auto again = group->redeliver.begin();
    while (again != group->redeliver.end() && room()) {
      if (watcher.options.remote && again->second->scope != Event::Scope::kOwn) {
        ++again;
        continue;
      }
      deliver(again->second, true);
      again = group->redeliver.erase(again);
    }
    // Before what is buffered, which has higher ids.
    while (!watcher.options.remote && !group->imported.empty() && room()) {
      deliver(group->imported.front().event, group->imported.front().redelivered);
      group->imported.pop_front();
    }
  }
  while (room()) {
    const EventPtr event = events_.After(cursor);
    if (event == nullptr) {
      cursor = events_.next_id() - 1;
      break;
    }
    const bool is_for = IsFor(watcher, *event);
    if (group && is_for) {
      if (!Fits(*group, *event)) break;  // until something is acknowledged
      Hold(*group, *event);
    }
    cursor = event->id;
    if (is_for) deliver(event, false);
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
  std::string name;
  std::vector<EventPtr> imported;
  {
    MutexLock lock(mutex_);
    auto it = watchers_.find(id);
    if (it == watchers_.end() || it->second->options.group.empty()) return;
    name = it->second->options.group;
    Group& group = *groups_[name];
    for (std::uint64_t event_id : event_ids) {
      auto flight = group.in_flight.find(event_id);
      if (flight == group.in_flight.end() || flight->second.second != id) continue;
      if (flight->second.first->scope == Event::Scope::kOfGroup)
        imported.push_back(flight->second.first);
      LetGo(group, *flight->second.first);
      --it->second->in_flight;
      it->second->in_flight_bytes -= flight->second.first->size_bytes();
      group.in_flight.erase(flight);
    }
    wake = armed_ > 0;
  }
  if (wake) Wake();
  if (!on_acknowledged_) return;
  for (const EventPtr& event : imported) on_acknowledged_(name, *event);
}

EventHub::Wanted EventHub::wanted() const {
  MutexLock lock(mutex_);
  Wanted wanted;
  wanted.all = absl::Now() < last_all_ + kGroupKept;
  for (const auto& [_, watcher] : watchers_) {
    const WatchOptions& options = watcher->options;
    if (options.remote) continue;
    if (options.group.empty()) {
      wanted.all = true;
      continue;
    }
    Wanted::Group& group = wanted.groups[options.group];
    group.filter = groups_.find(options.group)->second->filter;
    group.max_in_flight += options.max_in_flight;
  }
  return wanted;
}

void EventHub::Import(Event event, const std::string& name, bool redelivered) {
  bool wake = false;
  {
    MutexLock lock(mutex_);
    if (name.empty()) {
      event.scope = Event::Scope::kImported;
      Append(std::move(event));
    } else {
      auto group = groups_.find(name);
      if (group == groups_.end()) return;  // its node has others
      event.scope = Event::Scope::kOfGroup;
      // Kept until it is acknowledged; in the buffer it only has its place in the order.
      const EventPtr shared = Append(std::move(event));
      Hold(*group->second, *shared);
      group->second->imported.push_back({shared, redelivered});
    }
    wake = armed_ > 0;
  }
  if (wake) Wake();
}

void EventHub::ImportMissed(const std::string& name, std::uint64_t missed) {
  if (missed == 0) return;
  bool wake = false;
  {
    MutexLock lock(mutex_);
    if (!name.empty()) {
      if (auto group = groups_.find(name); group != groups_.end()) group->second->missed += missed;
    } else {
      for (auto& [_, watcher] : watchers_) {
        if (watcher->options.group.empty() && !watcher->options.remote) watcher->missed += missed;
      }
    }
    wake = armed_ > 0;
  }
  if (wake) Wake();
}

void EventHub::DropImported(const std::string& name, std::string_view node) {
  MutexLock lock(mutex_);
  auto found = groups_.find(name);
  if (found == groups_.end()) return;
  Group& group = *found->second;
  // Lets go of those that are.
  const auto theirs = [&](const EventPtr& event) ABSL_NO_THREAD_SAFETY_ANALYSIS {  // it is held
    const bool is = event->scope == Event::Scope::kOfGroup && event->node == node;
    if (is) LetGo(group, *event);
    return is;
  };
  std::erase_if(group.imported, [&](const Delivered& one) { return theirs(one.event); });
  std::erase_if(group.redeliver, [&](const auto& entry) { return theirs(entry.second); });
  std::erase_if(group.in_flight, [&](const auto& entry) {
    const auto& [event, watcher] = entry.second;
    if (!theirs(event)) return false;
    if (auto it = watchers_.find(watcher); it != watchers_.end()) {
      --it->second->in_flight;
      it->second->in_flight_bytes -= event->size_bytes();
    }
    return true;
  });
}

void EventHub::SetWatch(std::uint64_t id, EventFilter filter, std::uint32_t max_in_flight) {
  bool wake = false;
  {
    MutexLock lock(mutex_);
    auto it = watchers_.find(id);
    if (it == watchers_.end()) return;
    WatchOptions& options = it->second->options;
    options.filter = std::move(filter);
    options.max_in_flight = max_in_flight;
    if (!options.group.empty()) groups_[options.group]->filter = options.filter;
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
  return events_.next_id() - 1;
}

EventHub::Counts EventHub::counts() const {
  MutexLock lock(mutex_);
  return {events_.bytes() + outside_bytes_, events_.dropped_oldest(), events_.dropped_own()};
}

std::size_t EventHub::watchers() const {
  MutexLock lock(mutex_);
  return static_cast<std::size_t>(
      std::count_if(watchers_.begin(), watchers_.end(),
                    [](const auto& entry) { return !entry.second->options.remote; }));
}

}  // namespace herald
