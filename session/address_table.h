#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/container/node_hash_map.h"
#include "session/client_address.h"
#include "session/mutex.h"
#include "session/rate_bucket.h"

namespace herald {

// What Herald remembers of one address: how many connections it has, and how much it may still do.
// To limit one more thing by address, add a bucket here and take from it.
//
// Threads: any; every member is atomic or locks itself.
struct AddressState {
  explicit AddressState(AddressKey key) : key(key) {}

  const AddressKey key;

  // Kept by Admission.
  std::atomic<std::uint32_t> connections{0};      // all, with and without a session
  std::atomic<std::uint32_t> unauthenticated{0};  // of these, without a session
  RateBucket handshakes;
  RateBucket tls_failures;

  // Taken from by those who check tokens and read frames.
  RateBucket token_failures;
  RateBucket frames;
  RateBucket frame_bytes;
  RateBucket replayed_bytes;

 private:
  friend class AddressTable;
  std::atomic<std::uint32_t> references_{0};
  std::atomic<std::int64_t> released_ns_{0};  // when the last reference went
  // Neighbours in the order of last use; under the lock of the part.
  AddressState* newer_ = nullptr;
  AddressState* older_ = nullptr;
};

// The state of each address that has a connection or had one within the last minute. So a client
// that reconnects finds its buckets as it left them.
//
//   AddressTable::Ref address = table.Find(endpoint.address.key(), MonotonicNanos());
//   if (!address->frames.Take(1, rate, MonotonicNanos())) …
//
// A connection finds its address once and keeps the Ref; taking from a bucket then needs no lock.
//
// Threads:   any. Find locks one of kParts parts for a look-up; dropping a Ref takes no lock.
// Ownership: a Ref keeps its state alive and in the table. The table must outlive all Refs.
// Limits:    `max_states`, about 200 bytes each. Past it, and after kKeepIdleNs, states without a Ref
//            are dropped, the one that was used longest ago first. States with a Ref are never
//            dropped: there are at most as many of them as connections.
class AddressTable {
 public:
  static constexpr std::size_t kParts = 16;
  static constexpr std::size_t kMaxStates = 65'536;
  static constexpr std::int64_t kKeepIdleNs = 60'000'000'000;

  // Keeps a state in the table. Move-only; empty by default.
  class Ref {
   public:
    Ref() = default;
    Ref(Ref&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
    Ref& operator=(Ref&& other) noexcept {
      if (this != &other) {
        Reset();
        state_ = std::exchange(other.state_, nullptr);
      }
      return *this;
    }
    ~Ref() { Reset(); }

    // One more Ref to the same state, without a look-up.
    Ref Share() const;
    void Reset();
    explicit operator bool() const { return state_ != nullptr; }
    AddressState* get() const { return state_; }
    AddressState* operator->() const { return state_; }
    AddressState& operator*() const { return *state_; }

   private:
    friend class AddressTable;
    explicit Ref(AddressState* state) : state_(state) {}
    AddressState* state_ = nullptr;
  };

  explicit AddressTable(std::size_t max_states = kMaxStates)
      : max_per_part_(max_states / kParts + 1) {}
  AddressTable(const AddressTable&) = delete;
  AddressTable& operator=(const AddressTable&) = delete;

  // The state of `key`, new if there is none.
  Ref Find(const AddressKey& key, std::int64_t now_ns);
  // States in the table, with and without a Ref; for metrics and tests.
  std::size_t size() const;

 private:
  struct Part {
    mutable Mutex mutex;
    absl::node_hash_map<AddressKey, AddressState> states ABSL_GUARDED_BY(mutex);
    AddressState* newest ABSL_GUARDED_BY(mutex) = nullptr;
    AddressState* oldest ABSL_GUARDED_BY(mutex) = nullptr;
  };
  static void Link(Part& part, AddressState& state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(part.mutex);
  static void Unlink(Part& part, AddressState& state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(part.mutex);
  // Drops idle states from the oldest on. Looks at a few, so that a Find stays short.
  void Trim(Part& part, std::int64_t now_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(part.mutex);

  const std::size_t max_per_part_;
  std::array<Part, kParts> parts_;
};

}  // namespace herald
