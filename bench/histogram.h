#pragma once

#include <array>
#include <cstdint>

namespace herald::bench {

// Latencies in log-linear buckets: every value is kept to better than 1 %, up to 2^40 ns (18
// minutes), in constant memory and time. No distribution package of Debian 12 has it for C++.
//
// Threads: one.
// Source:  Gil Tene, HdrHistogram.
class Histogram {
 public:
  void Record(std::uint64_t nanoseconds) {
    ++buckets_[BucketOf(nanoseconds)];
    ++count_;
    if (nanoseconds > max_) max_ = nanoseconds;
  }
  std::uint64_t count() const { return count_; }
  std::uint64_t max() const { return max_; }
  // The value that `fraction` (0 to 1) of all recorded ones do not exceed; 0 if there are none.
  std::uint64_t Percentile(double fraction) const;

 private:
  static constexpr int kLinearBits = 7;  // 128 buckets for each power of two
  static constexpr int kPowers = 40 - kLinearBits;

  static std::size_t BucketOf(std::uint64_t value);
  // The highest value that falls into a bucket.
  static std::uint64_t HighestOf(std::size_t bucket);

  std::array<std::uint64_t, (kPowers + 1) << kLinearBits> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace herald::bench
