#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "herald/v1/push_service.pb.h"
#include "session/ban_list.h"
#include "session/target.h"

namespace herald {

// The bans that a Disconnect asks for; none without `ban_for`. `target` is the command's, parsed.
// `now`: when the command came, the same on all replicas. `owner`: the name of the producer.
//
// Threads: any; a pure function.
// Errors:  kInvalidArgument naming the field.
absl::StatusOr<std::vector<BanList::Ban>> ParseBans(const v1::Disconnect& disconnect,
                                                    const Target& target, absl::Time now,
                                                    const std::string& owner);

}  // namespace herald
