#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace herald {

class Shard;

// Closes the sessions of one shard that hold the most memory, where all together hold too much.
//
// Threads:   the shard; the getters from any.
// Limits:    `socket_bytes_total` in the kernel's send buffers. A session that holds less than
//            kMinHeld is never closed: nothing would be gained. One call looks at all sessions of
//            the shard; where that did not free enough, CloseForRoom looks again after kLookAgain.
// Codes:     4413. A socket that takes no more bytes gets no close frame: it is reset, which frees
//            the kernel's buffers at once.
class SlowSessions {
 public:
  // The names are those of a metric.
  enum class Reason : std::uint8_t { kOutbound, kSockets, kMemory };
  static constexpr std::size_t kReasons = 3;
  static constexpr std::array<const char*, kReasons> kReasonNames = {"outbound", "sockets",
                                                                     "memory"};
  static constexpr std::size_t kMinHeld = 16 * 1024;
  static constexpr std::chrono::milliseconds kLookAgain{100};

  struct Limits {
    std::size_t socket_bytes_total = ~std::size_t{0};
    std::size_t send_buffer_bytes = 0;  // of one socket, as the kernel counts
  };

  explicit SlowSessions(Shard& shard) : shard_(shard) {}

  void SetLimits(const Limits& limits) { limits_ = limits; }

  // A socket's send buffer is full, or takes bytes again.
  void OnBlocked();
  void OnUnblocked();

  // Closes the slowest until they held `bytes` together; returns what they held. Callers may be
  // walking topics or queues.
  std::size_t CloseForRoom(std::size_t bytes);
  // The same, and frees what the kernel holds at once. To be called from a handler of its own.
  std::size_t CloseAtOnce(std::size_t bytes, Reason reason) { return Close(bytes, reason); }

  std::uint64_t blocked() const { return blocked_.load(std::memory_order_relaxed); }
  std::uint64_t closed(Reason reason) const {
    return closed_[static_cast<std::size_t>(reason)].load(std::memory_order_relaxed);
  }

 private:
  std::size_t Close(std::size_t bytes, Reason reason);

  Shard& shard_;
  Limits limits_;
  bool posted_ = false;
  std::chrono::steady_clock::time_point look_again_{};
  std::atomic<std::uint64_t> blocked_{0};
  std::array<std::atomic<std::uint64_t>, kReasons> closed_{};
};

}  // namespace herald
