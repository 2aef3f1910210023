#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "session/ban_list.h"
#include "session/mutex.h"
#include "session/string_map.h"

namespace herald {

// The audit line of commands that ban: who banned whom for how long, and whether the ban holds.
//
// Threads: any.
// Limits:  one line a second for each producer; its next line says how many commands had none. Of
//          kMaxProducers; all others share one.
class BanLog {
 public:
  static constexpr std::size_t kMaxProducers = 1024;

  void Add(const std::string& producer, const std::vector<BanList::Ban>& bans,
           const absl::Status& status, absl::Time now);

 private:
  struct Line {
    absl::Time next = absl::InfinitePast();
    std::uint64_t untold = 0;
  };
  Mutex mutex_;
  StringMap<Line> lines_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace herald
