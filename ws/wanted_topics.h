#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "session/position.h"
#include "session/string_map.h"

namespace herald {

// The topics that a session is to be subscribed to when it opens, each once, in the order in which
// they were named.
//
// Threads: one.
// Limits:  `max_topics` topics besides the reserved ones. The first topic past the limit is refused
//          before anything is done for it. Finding a topic takes constant time.
class WantedTopics {
 public:
  struct Wanted {
    std::string topic;
    std::optional<Position> since;      // none: from now on
    std::uint64_t max_subscribers = 0;  // 0: no limit
  };

  explicit WantedTopics(std::size_t max_topics) : max_topics_(max_topics) {}

  // Null if it has not been added. Valid until the next Add.
  Wanted* Find(std::string_view topic);
  // The entry of `topic`, a new one if there is none. Valid until the next Add.
  // Errors: kInvalidArgument past the limit.
  absl::StatusOr<Wanted*> Add(const std::string& topic);

  std::vector<Wanted> Take() && { return std::move(wanted_); }

 private:
  // Most sessions have two topics: those are found faster without an index.
  static constexpr std::size_t kIndexedFrom = 16;

  const std::size_t max_topics_;
  std::vector<Wanted> wanted_;
  std::size_t own_ = 0;           // not reserved
  StringMap<std::size_t> index_;  // empty below kIndexedFrom topics
};

}  // namespace herald
