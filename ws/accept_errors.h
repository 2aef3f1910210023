#pragma once

#include <atomic>
#include <boost/system/error_code.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace herald {

// How often accept(2) has failed, by error. Shared by all acceptors of the process.
//
// Threads: any.
class AcceptErrors {
 public:
  static constexpr std::size_t kKinds = 5;
  // The names are those of a metric.
  static constexpr const char* kNames[kKinds] = {"EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "other"};

  void Count(const boost::system::error_code& error);
  std::uint64_t count(std::size_t kind) const {
    return counts_[kind].load(std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint64_t> counts_[kKinds]{};
};

// How long an acceptor pauses after an error: 10 ms, doubled with each further error, at most 1 s.
// Without a pause it would spin, for a failed accept leaves the connection in the queue.
//
// Threads: the acceptor's.
class AcceptBackoff {
 public:
  static constexpr std::chrono::milliseconds kFirst{10};
  static constexpr std::chrono::milliseconds kLongest{1000};

  std::chrono::milliseconds Next() {
    const std::chrono::milliseconds pause = next_;
    next_ = next_ * 2 < kLongest ? next_ * 2 : kLongest;
    return pause;
  }
  void Reset() { next_ = kFirst; }

 private:
  std::chrono::milliseconds next_ = kFirst;
};

}  // namespace herald
