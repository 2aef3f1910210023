#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/node_hash_map.h"
#include "session/client_address.h"

namespace herald {

class Shard;

// Connections that have not authenticated, by address and age: who has to go when there is no room.
//
// Threads: one at a time; Admission holds its lock around each call.
// Cost:    all calls are O(1). Addresses with the same number of connections are one list, and the
//          lists are numbered by that number.
class UnauthenticatedPool {
 private:
  struct Address;

 public:
  // One connection; in the pool from Add to Remove. `owner` and `evict` say how to end it: on the
  // thread of `shard`, evict(owner), if the owner still lives.
  class Entry {
   public:
    std::weak_ptr<void> owner;
    void (*evict)(void* owner) = nullptr;
    Shard* shard = nullptr;

    bool in_pool() const { return address_ != nullptr; }
    std::int64_t since_ns() const { return since_ns_; }

   private:
    friend class UnauthenticatedPool;
    Address* address_ = nullptr;
    Entry* older_ = nullptr;
    Entry* newer_ = nullptr;
    std::int64_t since_ns_ = 0;
  };

  UnauthenticatedPool() = default;
  UnauthenticatedPool(const UnauthenticatedPool&) = delete;
  UnauthenticatedPool& operator=(const UnauthenticatedPool&) = delete;

  void Add(Entry& entry, const AddressKey& key, std::int64_t now_ns);
  void Remove(Entry& entry);
  // The entry counts for another address from now on, and keeps its age.
  void Move(Entry& entry, const AddressKey& key) {
    const std::int64_t since = entry.since_ns_;
    Remove(entry);
    Add(entry, key, since);
  }

  std::size_t size() const { return size_; }
  std::size_t CountOf(const AddressKey& key) const;
  // The largest number of connections that one address has.
  std::size_t heaviest() const { return by_count_.empty() ? 0 : by_count_.size() - 1; }
  // The oldest connection of the address that has the most; null in an empty pool.
  Entry* OldestOfHeaviest() const;
  Entry* OldestOf(const AddressKey& key) const;

 private:
  struct Address {
    AddressKey key;
    std::size_t count = 0;
    Entry* oldest = nullptr;
    Entry* newest = nullptr;
    // In the list of addresses with the same count, the one that came to it first at the front.
    Address* previous = nullptr;
    Address* next = nullptr;
  };
  struct List {
    Address* front = nullptr;
    Address* back = nullptr;
  };
  void SetCount(Address& address, std::size_t count);

  absl::node_hash_map<AddressKey, Address> addresses_;
  std::vector<List> by_count_;  // [n]: addresses with n connections; the last list is not empty
  std::size_t size_ = 0;
};

}  // namespace herald
