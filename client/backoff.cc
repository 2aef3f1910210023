#include "client/backoff.h"

#include <algorithm>
#include <random>

namespace herald {

absl::Duration Backoff::Next() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  constexpr int kMaxDoublings = 30;  // more would overflow
  const absl::Duration longest =
      std::min(max_, initial_ * (std::int64_t{1} << std::min(tries_, kMaxDoublings)));
  ++tries_;
  return longest * std::uniform_real_distribution<double>(0, 1)(random);
}

}  // namespace herald
