#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "herald/v1/push_service.pb.h"

namespace herald {

using OnResult = absl::AnyInvocable<void(absl::StatusOr<v1::CommandResult>)>;
using OnReceipt = absl::AnyInvocable<void(absl::StatusOr<v1::Receipt>)>;

// The commands of a producer that have no result, in the order in which they are to take effect.
//
// Order:   requests are filled in the order of Add; after Rewind, from the first that has no result.
// Seq:     a result belongs to the first command without one that has its seq.
// Threads: one at a time.
// Limits:  none of its own; size() and bytes() are for those who set some.
class Outbox {
 public:
  using Time = std::chrono::steady_clock::time_point;

  struct Entry {
    v1::Command command;  // without its action, once written, where nothing is written again
    std::uint64_t seq = 0;
    std::size_t bytes = 0;
    OnResult on_result;
    OnReceipt on_receipt;
    std::optional<v1::Receipt> receipt;  // came before the result
    std::optional<Time> first_written;
    bool written = false;  // on this stream
  };

  // `rewinds`: Rewind may be called, so written commands are kept.
  explicit Outbox(bool rewinds) : rewinds_(rewinds) {}

  void Add(v1::Command command, std::size_t bytes, OnResult on_result, OnReceipt on_receipt);

  // Appends what has not been written: at most `max_commands`, and no more than `max_bytes` unless
  // one command alone is larger. False if there was nothing.
  bool Fill(std::size_t max_commands, std::size_t max_bytes, Time now, v1::PushRequest* request);
  // All that has no result is to be written again.
  void Rewind();

  // The command that this would answer; null if there is none.
  const Entry* Find(std::uint64_t seq) const;
  // The command that this answers; none if there is none. It is no longer here.
  std::optional<Entry> TakeAnswered(std::uint64_t seq);
  // A receipt that came before its result. False if no command here has this seq.
  bool KeepReceipt(v1::Receipt& receipt);
  // Those first written before `time`.
  std::vector<Entry> TakeWrittenBefore(Time time);
  std::vector<Entry> TakeAll();

  bool empty() const { return entries_.empty(); }
  std::size_t size() const { return entries_.size(); }
  // Written on this stream, and without a result.
  std::size_t written() const { return entries_.size() - unwritten_; }
  std::size_t bytes() const { return bytes_; }
  std::size_t unwritten() const { return unwritten_; }
  std::size_t unwritten_bytes() const { return unwritten_bytes_; }

 private:
  using Entries = std::list<Entry>;

  Entry Take(Entries::iterator entry);

  const bool rewinds_;
  Entries entries_;
  Entries::iterator next_ = entries_.end();                        // to be written
  absl::btree_multimap<std::uint64_t, Entries::iterator> by_seq_;  // equal ones in order
  std::size_t bytes_ = 0;
  std::size_t unwritten_ = 0;
  std::size_t unwritten_bytes_ = 0;
};

}  // namespace herald
