#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace herald {

// Things ranked by how many bytes they hold: finds one that holds nearly the most at once. A rank
// spans a factor of two, so the one found holds at least half of the most.
//
// Threads:   none of its own; the owner's lock covers it.
// Ownership: borrows; a thing is taken out with Update(thing, 0) before it goes.
// Limits:    65 ranks, of which only those with things take memory; O(1) a call but for finding a
//            rank among them.
template <typename T>
class SizeRanks {
 public:
  // Each T has `SizeRanks<T>::Place place`, for this class alone.
  struct Place {
    std::uint8_t rank = 0;  // 0: it is not listed
    std::uint32_t index = 0;
  };

  void Update(T& thing, std::size_t bytes) {
    const auto rank = static_cast<std::uint8_t>(std::bit_width(bytes));
    Place& place = thing.place;
    if (rank == place.rank) return;
    if (place.rank != 0) {
      const auto it = Find(place.rank);
      std::vector<T*>& from = it->things;
      from[place.index] = from.back();
      from[place.index]->place.index = place.index;
      from.pop_back();
      if (from.empty()) ranks_.erase(it);
    }
    place = {rank, 0};
    if (rank == 0) return;
    auto it = Find(rank);
    if (it == ranks_.end() || it->rank != rank) it = ranks_.insert(it, Rank{rank, {}});
    place.index = static_cast<std::uint32_t>(it->things.size());
    it->things.push_back(&thing);
  }

  // Null if none holds anything.
  T* Largest() const { return ranks_.empty() ? nullptr : ranks_.back().things.front(); }
  // Grows with what the largest holds; 0 if none does.
  std::uint8_t highest() const { return ranks_.empty() ? 0 : ranks_.back().rank; }

 private:
  struct Rank {
    std::uint8_t rank;
    std::vector<T*> things;  // never empty
  };

  // The first that is not below `rank`.
  typename std::vector<Rank>::iterator Find(std::uint8_t rank) {
    auto it = ranks_.begin();
    while (it != ranks_.end() && it->rank < rank) ++it;
    return it;
  }

  std::vector<Rank> ranks_;  // in their order
};

}  // namespace herald
