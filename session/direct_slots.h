#pragma once

#include <cstdint>
#include <vector>

#include "session/frame.h"

namespace herald {

// What has to be known of a session to write a frame to its socket at once. It stands apart from the
// session, a few bytes beside those of the others, so that a write that goes well touches no session:
// what their memory costs is all that Herald would add to the kernel's own work.
struct DirectSlot {
  // Open, >= 0, while nothing stands before the frame: Session::OpenDirect, CloseDirect.
  int socket = -1;
  Encoding encoding = Protocol::kJson;
  // Written since it was opened. The session's queue counts them when it is closed.
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;

  bool open() const { return socket >= 0; }
};

// The slots of a shard's sessions.
//
// Threads:   owning shard only.
// Memory:    as much as for the most sessions there were.
class DirectSlots {
 public:
  // That of all sessions outside the table, such as the readiness probe's. It is never opened.
  static constexpr std::uint32_t kNone = 0;

  std::uint32_t Add() {
    if (free_.empty()) {
      slots_.emplace_back();
      return static_cast<std::uint32_t>(slots_.size() - 1);
    }
    const std::uint32_t slot = free_.back();
    free_.pop_back();
    return slot;
  }
  void Remove(std::uint32_t slot) {
    slots_[slot] = {};
    free_.push_back(slot);
  }
  // References hold until the next Add.
  DirectSlot& operator[](std::uint32_t slot) { return slots_[slot]; }
  const DirectSlot& operator[](std::uint32_t slot) const { return slots_[slot]; }

 private:
  std::vector<DirectSlot> slots_{1};
  std::vector<std::uint32_t> free_;
};

}  // namespace herald
