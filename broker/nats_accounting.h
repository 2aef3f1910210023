#pragma once

#include <atomic>
#include <cstdint>

#include "broker/nats_broker.h"

namespace herald {

// Keeps the count of bytes that all logs hold, over a change of one of them.
class NatsBroker::Accounting {
 public:
  Accounting(std::atomic<std::uint64_t>& total, const TopicLog& log)
      : total_(total), log_(log), before_(log.bytes()) {}
  // Wraps where it shrinks.
  ~Accounting() { total_.fetch_add(after() - before_, std::memory_order_relaxed); }
  // The log goes with all it holds.
  void Drop() { dropped_ = true; }

 private:
  std::uint64_t after() const { return dropped_ ? 0 : log_.bytes(); }

  std::atomic<std::uint64_t>& total_;
  const TopicLog& log_;
  const std::uint64_t before_;
  bool dropped_ = false;
};

}  // namespace herald
