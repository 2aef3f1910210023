#include "session/topic_index.h"

#include <algorithm>

namespace herald {

bool TopicIndex::Add(std::string_view topic, int shard, std::uint64_t max_subscribers) {
  Stripe& stripe = StripeOf(topic);
  MutexLock lock(stripe.mutex);
  auto it = stripe.topics.find(topic);
  if (it == stripe.topics.end()) it = stripe.topics.try_emplace(std::string(topic)).first;
  Counts& counts = it->second;
  if (max_subscribers > 0) {
    std::uint64_t subscribers = 0;
    for (const auto& [_, count] : counts) subscribers += count;
    if (subscribers >= max_subscribers) return false;
  }
  auto entry = std::find_if(counts.begin(), counts.end(), [&](const auto& c) {
    return c.first == static_cast<std::uint32_t>(shard);
  });
  if (entry == counts.end()) {
    counts.emplace_back(static_cast<std::uint32_t>(shard), 1u);
  } else {
    ++entry->second;
  }
  return true;
}

void TopicIndex::Remove(std::string_view topic, int shard) {
  Stripe& stripe = StripeOf(topic);
  MutexLock lock(stripe.mutex);
  auto it = stripe.topics.find(topic);
  if (it == stripe.topics.end()) return;
  Counts& counts = it->second;
  auto entry = std::find_if(counts.begin(), counts.end(), [&](const auto& c) {
    return c.first == static_cast<std::uint32_t>(shard);
  });
  if (entry == counts.end()) return;
  if (--entry->second == 0) counts.erase(entry);
  if (counts.empty()) stripe.topics.erase(it);
}

TopicIndex::Found TopicIndex::Find(std::string_view topic) const {
  const std::size_t hash = StringHash{}(topic);
  const Stripe& stripe = StripeOf(hash);
  MutexLock lock(stripe.mutex);
  Found found;
  auto it = stripe.topics.find(topic, hash);
  if (it == stripe.topics.end()) return found;
  for (const auto& [shard, count] : it->second) {
    found.shards |= std::uint64_t{1} << shard;
    found.subscribers += count;
  }
  return found;
}

TopicIndex::Size TopicIndex::Count() const {
  Size size;
  for (const Stripe& stripe : stripes_) {
    MutexLock lock(stripe.mutex);
    for (const auto& [topic, _] : stripe.topics) {
      size.topics += topic.starts_with("$probe/") ? 0 : 1;  // the readiness probe's
      size.users += topic.starts_with("$user/") ? 1 : 0;
    }
  }
  return size;
}

}  // namespace herald
