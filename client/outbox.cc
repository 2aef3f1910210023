#include "client/outbox.h"

#include <algorithm>
#include <utility>

namespace herald {

void Outbox::Add(v1::Command command, std::size_t bytes, OnResult on_result, OnReceipt on_receipt) {
  Entry entry;
  entry.seq = command.seq();
  entry.command = std::move(command);
  entry.bytes = bytes;
  entry.on_result = std::move(on_result);
  entry.on_receipt = std::move(on_receipt);
  entries_.push_back(std::move(entry));
  const auto added = std::prev(entries_.end());
  if (next_ == entries_.end()) next_ = added;
  by_seq_.emplace(added->seq, added);
  bytes_ += bytes;
  ++unwritten_;
  unwritten_bytes_ += bytes;
}

bool Outbox::Fill(std::size_t max_commands, std::size_t max_bytes, Time now,
                  v1::PushRequest* request) {
  std::size_t filled = 0, bytes = 0;
  while (next_ != entries_.end() && filled < max_commands &&
         (filled == 0 || bytes + next_->bytes <= max_bytes)) {
    v1::Command& command = *request->add_commands();
    if (rewinds_) {
      command = next_->command;
    } else {
      command = std::move(next_->command);
    }
    ++filled;
    bytes += next_->bytes;
    next_->written = true;
    if (!next_->first_written) next_->first_written = now;
    ++next_;
  }
  unwritten_ -= filled;
  unwritten_bytes_ -= bytes;
  return filled > 0;
}

void Outbox::Rewind() {
  for (Entry& entry : entries_) entry.written = false;
  next_ = entries_.begin();
  unwritten_ = entries_.size();
  unwritten_bytes_ = bytes_;
}

const Outbox::Entry* Outbox::Find(std::uint64_t seq) const {
  const auto found = by_seq_.find(seq);
  return found == by_seq_.end() ? nullptr : &*found->second;
}

std::optional<Outbox::Entry> Outbox::TakeAnswered(std::uint64_t seq) {
  const auto found = by_seq_.find(seq);  // the first of those that are equal
  if (found == by_seq_.end()) return std::nullopt;
  return Take(found->second);
}

bool Outbox::KeepReceipt(v1::Receipt& receipt) {
  const auto found = by_seq_.find(receipt.seq());
  if (found == by_seq_.end()) return false;
  found->second->receipt = std::move(receipt);
  return true;
}

std::vector<Outbox::Entry> Outbox::TakeWrittenBefore(Time time) {
  std::vector<Entry> taken;
  // First writings are in order, and what never was written stands at the end.
  while (!entries_.empty() && entries_.front().first_written &&
         *entries_.front().first_written < time) {
    taken.push_back(Take(entries_.begin()));
  }
  return taken;
}

std::vector<Outbox::Entry> Outbox::TakeAll() {
  std::vector<Entry> taken;
  taken.reserve(entries_.size());
  while (!entries_.empty()) taken.push_back(Take(entries_.begin()));
  return taken;
}

Outbox::Entry Outbox::Take(Entries::iterator entry) {
  if (next_ == entry) ++next_;
  if (!entry->written) {
    --unwritten_;
    unwritten_bytes_ -= entry->bytes;
  }
  bytes_ -= entry->bytes;
  auto at = by_seq_.find(entry->seq);
  while (at->second != entry) ++at;
  by_seq_.erase(at);
  Entry taken = std::move(*entry);
  entries_.erase(entry);
  return taken;
}

}  // namespace herald
