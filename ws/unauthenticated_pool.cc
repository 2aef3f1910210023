#include "ws/unauthenticated_pool.h"

namespace herald {

void UnauthenticatedPool::Add(Entry& entry, const AddressKey& key, std::int64_t now_ns) {
  Address& address = addresses_[key];
  address.key = key;
  entry.address_ = &address;
  entry.since_ns_ = now_ns;
  // The list is in the order of age. Nearly always the new entry is the newest; one that has moved
  // from another address may be older than some.
  Entry* before = address.newest;
  while (before != nullptr && before->since_ns_ > now_ns) before = before->older_;
  entry.older_ = before;
  entry.newer_ = before != nullptr ? before->newer_ : address.oldest;
  (entry.older_ != nullptr ? entry.older_->newer_ : address.oldest) = &entry;
  (entry.newer_ != nullptr ? entry.newer_->older_ : address.newest) = &entry;
  SetCount(address, address.count + 1);
  ++size_;
}

void UnauthenticatedPool::Remove(Entry& entry) {
  Address& address = *entry.address_;
  (entry.older_ != nullptr ? entry.older_->newer_ : address.oldest) = entry.newer_;
  (entry.newer_ != nullptr ? entry.newer_->older_ : address.newest) = entry.older_;
  entry.address_ = nullptr;
  entry.older_ = entry.newer_ = nullptr;
  --size_;
  SetCount(address, address.count - 1);
  if (address.count == 0) addresses_.erase(AddressKey(address.key));
}

void UnauthenticatedPool::SetCount(Address& address, std::size_t count) {
  if (address.count > 0) {
    List& list = by_count_[address.count];
    (address.previous != nullptr ? address.previous->next : list.front) = address.next;
    (address.next != nullptr ? address.next->previous : list.back) = address.previous;
  }
  address.count = count;
  if (count > 0) {
    if (by_count_.size() <= count) by_count_.resize(count + 1);
    List& list = by_count_[count];
    address.previous = list.back;
    address.next = nullptr;
    (list.back != nullptr ? list.back->next : list.front) = &address;
    list.back = &address;
  }
  while (!by_count_.empty() && by_count_.back().front == nullptr) by_count_.pop_back();
}

std::size_t UnauthenticatedPool::CountOf(const AddressKey& key) const {
  const auto it = addresses_.find(key);
  return it == addresses_.end() ? 0 : it->second.count;
}

UnauthenticatedPool::Entry* UnauthenticatedPool::OldestOfHeaviest() const {
  return by_count_.empty() ? nullptr : by_count_.back().front->oldest;
}

UnauthenticatedPool::Entry* UnauthenticatedPool::OldestOf(const AddressKey& key) const {
  const auto it = addresses_.find(key);
  return it == addresses_.end() ? nullptr : it->second.oldest;
}

}  // namespace herald
