#include "broker/log_witness.h"

#include <algorithm>

namespace herald {

void LogWitness::Reset(const Position& start) {
  anchor_ = newest_ = start;
  accused_ = {};
  last_received_ = 0;
}

void LogWitness::Saw(const Position& position) {
  if (position.epoch == newest_.epoch && position.offset > newest_.offset) newest_ = position;
}

bool LogWitness::Receive(std::uint64_t sequence) {
  if (sequence <= last_received_) return false;
  last_received_ = sequence;
  return true;
}

std::vector<Position> LogWitness::Evidence() const {
  std::vector<Position> evidence;
  for (const Position& position : {anchor_, accused_, newest_}) {
    if (position.offset > 0) evidence.push_back(position);
  }
  std::sort(evidence.begin(), evidence.end(),
            [](const Position& a, const Position& b) { return a.offset < b.offset; });
  evidence.erase(std::unique(evidence.begin(), evidence.end()), evidence.end());
  return evidence;
}

void LogWitness::Confirm(const std::vector<Position>& evidence) {
  if (evidence.empty()) return;
  anchor_ = evidence.back();
  // One that was accused meanwhile has not been looked for.
  if (std::find(evidence.begin(), evidence.end(), accused_) != evidence.end()) accused_ = {};
}

}  // namespace herald
