#include "session/event_buffer.h"

#include <algorithm>
#include <utility>

namespace herald {

EventBuffer::Owner& EventBuffer::OwnerOf(const Event& event) {
  const std::string& name = event.user_id.empty() ? event.session_id : event.user_id;
  auto it = owners_.find(name);
  if (it == owners_.end()) {
    it = owners_.try_emplace(name, std::make_unique<Owner>()).first;
    it->second->name = name;
  }
  return *it->second;
}

EventBuffer::Entries::const_iterator EventBuffer::Behind(std::uint64_t id) const {
  return std::upper_bound(events_.begin(), events_.end(), id,
                          [](std::uint64_t id, const Entry& entry) { return id < entry.id; });
}

EventPtr EventBuffer::After(std::uint64_t id) const {
  for (auto it = Behind(id); it != events_.end(); ++it) {
    if (it->event != nullptr) return it->event;
  }
  return nullptr;
}

bool EventBuffer::Has(std::uint64_t id) const {
  const auto it = Behind(id - 1);
  return it != events_.end() && it->id == id && it->event != nullptr;
}

std::size_t EventBuffer::CountAfter(std::uint64_t id) const {
  return static_cast<std::size_t>(std::count_if(
      Behind(id), events_.end(), [](const Entry& entry) { return entry.event != nullptr; }));
}

void EventBuffer::Push(EventPtr event, absl::FunctionRef<void(const Event&)> lost) {
  const std::size_t bytes = event->size_bytes();
  const std::uint64_t id = next_id_++;
  Owner& owner = OwnerOf(*event);
  owner.ids.push_back(id);
  owner.bytes += bytes;
  by_size_.Update(owner, owner.bytes);
  bytes_ += bytes;
  ++live_;
  events_.push_back({id, std::move(event), &owner});
  while (full()) {
    const Owner& largest = *by_size_.Largest();
    const std::uint64_t oldest = events_.front().id;
    const bool own = largest.bytes > bytes_ / kOwnerShare && largest.ids.front() != oldest;
    ++(own ? dropped_own_ : dropped_oldest_);
    Drop(own ? largest.ids.front() : oldest, lost);
  }
}

void EventBuffer::Drop(std::uint64_t id, absl::FunctionRef<void(const Event&)> lost) {
  Entry& entry = events_[static_cast<std::size_t>(Behind(id - 1) - events_.begin())];
  const EventPtr event = std::exchange(entry.event, nullptr);
  Owner& owner = *std::exchange(entry.owner, nullptr);
  const std::size_t bytes = event->size_bytes();
  owner.ids.pop_front();
  owner.bytes -= bytes;
  by_size_.Update(owner, owner.bytes);
  if (owner.ids.empty()) owners_.erase(owners_.find(owner.name));
  bytes_ -= bytes;
  --live_;
  while (!events_.empty() && events_.front().event == nullptr) events_.pop_front();
  if (events_.size() > 2 * live_ + 64)
    std::erase_if(events_, [](const Entry& gone) { return gone.event == nullptr; });
  lost(*event);
}

void EventBuffer::SkipAll() {
  ++next_id_;
  events_.clear();
  owners_.clear();
  by_size_ = {};
  bytes_ = 0;
  live_ = 0;
}

}  // namespace herald
