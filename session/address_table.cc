#include "session/address_table.h"

#include "absl/hash/hash.h"

namespace herald {
namespace {

// A Find that adds one state looks at this many old ones, so the table shrinks as fast as it grows.
constexpr int kLooksPerFind = 4;

}  // namespace

AddressTable::Ref AddressTable::Ref::Share() const {
  if (state_ != nullptr) state_->references_.fetch_add(1, std::memory_order_relaxed);
  return Ref(state_);
}

void AddressTable::Ref::Reset() {
  AddressState* const state = std::exchange(state_, nullptr);
  if (state == nullptr) return;
  state->released_ns_.store(MonotonicNanos(), std::memory_order_relaxed);
  // The last touch: from here on Trim may drop the state.
  state->references_.fetch_sub(1, std::memory_order_release);
}

AddressTable::Ref AddressTable::Find(const AddressKey& key, std::int64_t now_ns) {
  Part& part =
      parts_[(absl::Hash<AddressKey>{}(key) >> 40) % kParts];  // not the bits that the maps use
  const MutexLock lock(part.mutex);
  auto [it, is_new] = part.states.try_emplace(key, key);
  AddressState& state = it->second;
  state.references_.fetch_add(1, std::memory_order_relaxed);
  if (!is_new) Unlink(part, state);
  Link(part, state);
  Trim(part, now_ns);
  return Ref(&state);
}

std::size_t AddressTable::size() const {
  std::size_t size = 0;
  for (const Part& part : parts_) {
    const MutexLock lock(part.mutex);
    size += part.states.size();
  }
  return size;
}

void AddressTable::Link(Part& part, AddressState& state) {
  state.older_ = part.newest;
  state.newer_ = nullptr;
  (part.newest != nullptr ? part.newest->newer_ : part.oldest) = &state;
  part.newest = &state;
}

void AddressTable::Unlink(Part& part, AddressState& state) {
  (state.newer_ != nullptr ? state.newer_->older_ : part.newest) = state.older_;
  (state.older_ != nullptr ? state.older_->newer_ : part.oldest) = state.newer_;
}

void AddressTable::Trim(Part& part, std::int64_t now_ns) {
  for (int i = 0; i < kLooksPerFind && part.oldest != nullptr; ++i) {
    AddressState& state = *part.oldest;
    if (state.references_.load(std::memory_order_acquire) != 0) {
      // In use: it moves to the new end, so that those behind it get their look.
      Unlink(part, state);
      Link(part, state);
      continue;
    }
    const bool fresh = now_ns - state.released_ns_.load(std::memory_order_relaxed) < kKeepIdleNs;
    if (fresh && part.states.size() <= max_per_part_) return;
    Unlink(part, state);
    part.states.erase(state.key);
  }
}

}  // namespace herald
