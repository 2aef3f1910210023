#include "service/refused_seqs.h"

#include <algorithm>
#include <iterator>

namespace herald {

std::optional<std::uint64_t> RefusedSeqs::first() const {
  if (ranges_.empty()) return std::nullopt;
  return ranges_.begin()->first;
}

void RefusedSeqs::Add(SeqRange range, TimePoint now) {
  auto it = ranges_.upper_bound(range.first);
  if (it != ranges_.begin()) {
    const auto before = std::prev(it);
    if (before->second.last + 1 >= range.first) it = before;
  }
  // What touches it becomes one with it.
  while (it != ranges_.end() && it->first <= range.last + 1) {
    range = {std::min(range.first, it->first), std::max(range.last, it->second.last)};
    it = ranges_.erase(it);
  }
  ranges_.emplace_hint(it, range.first, Range{range.last, now});
  Shrink();
}

void RefusedSeqs::Shrink() {
  if (ranges_.size() <= kMaxRanges) return;
  const auto highest = std::prev(ranges_.end());
  Range& below = std::prev(highest)->second;
  below = {highest->second.last, std::max(below.at, highest->second.at)};
  ranges_.erase(highest);
}

void RefusedSeqs::Remove(std::uint64_t seq) {
  auto it = ranges_.upper_bound(seq);
  if (it == ranges_.begin()) return;
  --it;
  const auto [first, range] = *it;
  if (range.last < seq) return;
  ranges_.erase(it);
  if (first < seq) ranges_.emplace(first, Range{seq - 1, range.at});
  if (seq < range.last) ranges_.emplace(seq + 1, Range{range.last, range.at});
  Shrink();
}

void RefusedSeqs::Expire(TimePoint since) {
  std::erase_if(ranges_, [&](const auto& entry) { return entry.second.at <= since; });
}

std::vector<SeqRange> RefusedSeqs::List() const {
  std::vector<SeqRange> list;
  for (const auto& [first, range] : ranges_) list.push_back({first, range.last});
  return list;
}

}  // namespace herald
