#pragma once

#include <atomic>

namespace herald {

// Adds to a counter that has one writer and any readers: no read-modify-write is needed.
template <typename T, typename V>
void Bump(std::atomic<T>& counter, V by) {
  counter.store(counter.load(std::memory_order_relaxed) + static_cast<T>(by),
                std::memory_order_relaxed);
}

}  // namespace herald
