#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace herald {

struct SeqRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
};

// Numbers of one producer id that rights or rates refused, and that have not been carried out since.
//
// Threads:   none of its own.
// Limits:    kMaxRanges ranges, however many numbers. Past that the two highest become one, with what
//            lies between: last_seq is then lower than it could be, never higher.
class RefusedSeqs {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  static constexpr std::size_t kMaxRanges = 64;

  bool empty() const { return ranges_.empty(); }
  // The lowest.
  std::optional<std::uint64_t> first() const;
  void Add(SeqRange range, TimePoint now);
  // It has been tried.
  void Remove(std::uint64_t seq);
  // Forgets ranges whose newest number was refused before `since`.
  void Expire(TimePoint since);
  std::vector<SeqRange> List() const;

 private:
  void Shrink();

  struct Range {
    std::uint64_t last;
    TimePoint at;
  };
  std::map<std::uint64_t, Range> ranges_;  // by their first
};

}  // namespace herald
