#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "session/timer_wheel.h"

namespace herald {

class UnfinishedMessages;

// A message of which a client has sent a part, as the pool sees it. ws/ derives the buffer.
class UnfinishedMessage {
 public:
  enum class Refusal : std::uint8_t { kPoolFull, kTooSlow };

 protected:
  UnfinishedMessage() = default;
  UnfinishedMessage(const UnfinishedMessage&) = delete;
  ~UnfinishedMessage() = default;

 private:
  friend class UnfinishedMessages;
  // Frees the bytes and ends the connection. The pool no longer counts the message.
  virtual void OnRefused(Refusal why) = 0;

  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  std::uint32_t index_ = kNone;
  std::size_t charged_ = 0;
  std::chrono::steady_clock::time_point began_;
};

// What one shard's clients have sent of messages whose end has not come, charged before it is
// stored.
//
// Where there is no room for more, the largest message goes: never a small one because of a big one.
// A message that is not complete within the timeout goes too.
//
// Threads:   its shard; the getters from any.
// Ownership: messages are their connections'; the pool outlives them.
// Limits:    `max_bytes`, and the timeout, looked at once a second. Finding the largest looks at all
//            messages of the pool.
class UnfinishedMessages final : private Timer {
 public:
  struct Limits {
    std::size_t max_bytes = std::size_t{64} << 20;
    absl::Duration timeout = absl::Seconds(10);
  };

  explicit UnfinishedMessages(TimerWheel& timers) : timers_(timers) {}

  void SetLimits(const Limits& limits) { limits_ = limits; }

  // `message` is about to hold `bytes`. Returns false if it was refused instead: OnRefused has been
  // called. Others may be refused to make room.
  bool Charge(UnfinishedMessage& message, std::size_t bytes);
  // Forgets the message, which may not be in the pool.
  void Release(UnfinishedMessage& message);

  std::uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  std::uint64_t refused(UnfinishedMessage::Refusal why) const {
    return refused_[static_cast<std::size_t>(why)].load(std::memory_order_relaxed);
  }

 private:
  void OnTimer() override;
  void Refuse(UnfinishedMessage& message, UnfinishedMessage::Refusal why);

  TimerWheel& timers_;
  Limits limits_;
  std::vector<UnfinishedMessage*> messages_;
  std::atomic<std::uint64_t> bytes_{0};  // written by the shard alone
  std::array<std::atomic<std::uint64_t>, 2> refused_{};
};

}  // namespace herald
