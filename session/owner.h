#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "session/mutex.h"
#include "session/string_map.h"

namespace herald {

// Whose something is, by the name of a producer. 0: nobody's in particular, which is that of clients
// and of producers without a name.
using OwnerId = std::uint64_t;
inline OwnerId OwnerOf(std::string_view name) { return name.empty() ? 0 : StringHash{}(name) | 1; }

// What each owner holds, for whoever has to find the one that holds the most.
//
// Threads: any. Of takes a lock; Largest takes none.
// Limits:  kMax owners, which stay. Those that come later share the first one that did.
template <typename Owner>
class OwnerTable {
 public:
  static constexpr std::size_t kMax = 1024;

  // Lives as long as the table.
  Owner& Of(OwnerId id) {
    MutexLock lock(mutex_);
    if (const auto it = by_id_.find(id); it != by_id_.end()) return *it->second;
    if (owned_.size() == kMax) return *owned_.front();
    Owner& owner = *owned_.emplace_back(std::make_unique<Owner>());
    by_id_[id] = &owner;
    all_[owned_.size() - 1] = &owner;
    count_.store(owned_.size(), std::memory_order_release);
    return owner;
  }

  // The owner with the highest `amount`, of those that have some; null if none has.
  template <typename Amount>
  Owner* Largest(Amount amount) const {
    Owner* largest = nullptr;
    auto most = decltype(amount(*largest)){};
    const std::size_t count = count_.load(std::memory_order_acquire);
    for (std::size_t i = 0; i < count; ++i) {
      const auto held = amount(*all_[i]);
      if (held > most) most = held, largest = all_[i];
    }
    return largest;
  }

 private:
  std::array<Owner*, kMax> all_{};  // those up to count_ do not change
  std::atomic<std::size_t> count_{0};
  Mutex mutex_;
  absl::flat_hash_map<OwnerId, Owner*> by_id_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Owner>> owned_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace herald
