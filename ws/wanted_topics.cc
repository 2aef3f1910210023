#include "ws/wanted_topics.h"

#include "fmt/format.h"
#include "session/topic_name.h"

namespace herald {

WantedTopics::Wanted* WantedTopics::Find(std::string_view topic) {
  if (!index_.empty()) {
    const auto it = index_.find(topic);
    return it == index_.end() ? nullptr : &wanted_[it->second];
  }
  for (Wanted& one : wanted_) {
    if (one.topic == topic) return &one;
  }
  return nullptr;
}

absl::StatusOr<WantedTopics::Wanted*> WantedTopics::Add(const std::string& topic) {
  if (Wanted* known = Find(topic)) return known;
  if (!IsReserved(topic) && ++own_ > max_topics_) {
    return absl::InvalidArgumentError(fmt::format("a session may be on {} topics", max_topics_));
  }
  wanted_.push_back({topic, {}, 0});
  if (!index_.empty()) {
    index_.emplace(topic, wanted_.size() - 1);
  } else if (wanted_.size() == kIndexedFrom) {
    for (std::size_t i = 0; i < wanted_.size(); ++i) index_.emplace(wanted_[i].topic, i);
  }
  return &wanted_.back();
}

}  // namespace herald
