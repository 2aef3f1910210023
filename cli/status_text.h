#pragma once

#include <string>

#include "absl/time/time.h"
#include "herald/v1/admin_service.pb.h"

namespace herald::cli {

// What the server said, and when.
struct Sample {
  absl::Time time;
  v1::GetInfoResponse info;
};

// The cluster in a table, a line a node, and below it what does not fit there, summed. Rates are
// those between the two samples for nodes that are in both (and have not restarted between), else
// the server's own means.
std::string StatusText(const Sample& now, const Sample* last);

}  // namespace herald::cli
