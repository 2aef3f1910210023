#include "bench/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace herald::bench {

std::size_t Histogram::BucketOf(std::uint64_t value) {
  constexpr std::uint64_t kLinear = std::uint64_t{1} << kLinearBits;
  if (value < kLinear) return value;
  const int shift = std::bit_width(value) - 1 - kLinearBits;
  const std::size_t bucket =
      (static_cast<std::size_t>(shift + 1) << kLinearBits) + ((value >> shift) - kLinear);
  return std::min(bucket, (static_cast<std::size_t>(kPowers + 1) << kLinearBits) - 1);
}

std::uint64_t Histogram::HighestOf(std::size_t bucket) {
  constexpr std::uint64_t kLinear = std::uint64_t{1} << kLinearBits;
  if (bucket < kLinear) return bucket;
  const int shift = static_cast<int>(bucket >> kLinearBits) - 1;
  return (((bucket & (kLinear - 1)) + kLinear + 1) << shift) - 1;
}

std::uint64_t Histogram::Percentile(double fraction) const {
  const auto wanted = static_cast<std::uint64_t>(std::ceil(fraction * static_cast<double>(count_)));
  std::uint64_t seen = 0;
  for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
    seen += buckets_[bucket];
    if (seen >= wanted && seen > 0) return std::min(HighestOf(bucket), max_);
  }
  return max_;
}

}  // namespace herald::bench
