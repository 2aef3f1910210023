#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace herald {

// Things ranked by how many bytes they hold: finds one that holds nearly the most at once. A rank
// spans a factor of two, so the one found holds at least half of the most.
//
// Threads:   none of its own; the owner's lock covers it.
// Ownership: borrows; a thing is taken out with Update(thing, 0) before it goes.
// Limits:    O(1) a call.
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
      std::vector<T*>& from = ranks_[place.rank];
      from[place.index] = from.back();
      from[place.index]->place.index = place.index;
      from.pop_back();
      if (from.empty()) from.shrink_to_fit();
    }
    place = {rank, static_cast<std::uint32_t>(ranks_[rank].size())};
    if (rank != 0) ranks_[rank].push_back(&thing);
    if (rank > highest_) highest_ = rank;
    while (highest_ > 0 && ranks_[highest_].empty()) --highest_;
  }

  // Null if none holds anything.
  T* Largest() const { return highest_ == 0 ? nullptr : ranks_[highest_].front(); }
  // Grows with what the largest holds; 0 if none does.
  std::uint8_t highest() const { return highest_; }

 private:
  std::array<std::vector<T*>, 65> ranks_;
  std::uint8_t highest_ = 0;
};

}  // namespace herald
