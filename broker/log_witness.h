#pragma once

#include <cstdint>
#include <vector>

#include "session/position.h"

namespace herald {

// What one replica has seen of a stream's log: the evidence that the log is still the same.
//
// A log is the same if each of these positions is still in it:
//   anchor    the newest position at the last check. What is seen after a return to the past cannot
//             replace it before it is checked.
//   accused   a position in question: a replica has delivered it, and something it has read or
//             received contradicts it.
//   newest    the newest position seen, of whatever topic.
//
// Threads: none of its own; NatsStream's lock covers it.
class LogWitness {
 public:
  // Another log: `start` is the position before its first message.
  void Reset(const Position& start);

  const Position& newest() const { return newest_; }
  bool accused(const Position& position) const { return accused_ == position; }

  // Moves `newest` forward.
  void Saw(const Position& position);
  // A message has come at `sequence`. False if one with this number or a higher one has come before:
  // a stream sends its messages in order, so it may give out numbers again.
  bool Receive(std::uint64_t sequence);
  void Accuse(const Position& position) { accused_ = position; }

  // Positions that have to be in the log, oldest first.
  std::vector<Position> Evidence() const;
  // They are.
  void Confirm(const std::vector<Position>& evidence);

 private:
  Position anchor_, accused_, newest_;
  std::uint64_t last_received_ = 0;
};

}  // namespace herald
