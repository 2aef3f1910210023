#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace herald {

// What Herald holds for the calls of producers: requests that are not carried out yet, answers,
// results and events that their producer has not read, and receipts that are awaited. A producer
// that reads nothing fills its own half, and no more.
//
// Threads:   any; no lock. A Hold is used by one thread at a time.
// Limits:    `max_bytes` in all; of one producer half of it. A sixteenth is always there for a producer,
//            beyond `max_bytes` if others hold that.
class CallMemory {
 public:
  // What the calls of one producer hold.
  using Share = std::shared_ptr<std::atomic<std::uint64_t>>;

  explicit CallMemory(std::uint64_t max_bytes) : max_bytes_(max_bytes) {}
  CallMemory(const CallMemory&) = delete;
  CallMemory& operator=(const CallMemory&) = delete;

  void SetMax(std::uint64_t max_bytes) { max_bytes_.store(max_bytes, std::memory_order_relaxed); }
  std::uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  // Times something was refused, or a stream began to wait, since a limit was reached.
  std::uint64_t limited() const { return limited_.load(std::memory_order_relaxed); }

  // The bytes of one purpose, given back at its end. `memory` outlives it.
  class Hold {
   public:
    // `share`: null for callers without an identity, who share all of it.
    Hold(CallMemory& memory, Share share) : memory_(&memory), share_(std::move(share)) {}
    ~Hold() { Set(0); }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

    // Counts `bytes` that are there already, whatever the limits say.
    void Set(std::size_t bytes);
    void Add(std::size_t bytes) { Set(bytes_ + bytes); }
    void Remove(std::size_t bytes) { Set(bytes_ - bytes); }
    // Counts `bytes` that are about to be taken. False: a limit is in the way, and nothing changes.
    bool TrySet(std::size_t bytes);
    // True while something new may begin, which leaves room for what has begun.
    bool HasRoom() const;
    // True while nothing is above its limit.
    bool WithinLimits() const;
    // True if nothing else is held for this producer.
    bool Alone() const {
      return (share_ ? share_->load(std::memory_order_relaxed) : memory_->bytes()) == bytes_;
    }
    void CountLimited() { memory_->CountLimited(); }
    std::size_t bytes() const { return bytes_; }

   private:
    bool Below(std::uint64_t percent) const;

    CallMemory* memory_;
    Share share_;
    std::size_t bytes_ = 0;
  };

  void CountLimited() { limited_.fetch_add(1, std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> max_bytes_;
  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<std::uint64_t> limited_{0};
};

}  // namespace herald
