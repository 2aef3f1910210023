#pragma once

#include <algorithm>
#include <cstdint>

#include "herald/v1/push_service.pb.h"

namespace herald {

// What a command counts as, for rates and for the turns between producers: the publications, or the
// changes of targets, that it asks for.
//
//   deliver             the topics or users of its target; a session, a selector and `all` are one
//   join, leave         the same, times its topics
//   others              the same
//
// Threads: any; a pure function. Never 0.
inline std::uint64_t CommandCost(const v1::Command& command) {
  const auto of = [](const v1::Target& target) -> std::uint64_t {
    const int listed = target.has_topics()  ? target.topics().topics_size()
                       : target.has_users() ? target.users().user_ids_size()
                                            : 1;
    return static_cast<std::uint64_t>(std::max(listed, 1));
  };
  const auto times = [](int topics) { return static_cast<std::uint64_t>(std::max(topics, 1)); };
  switch (command.action_case()) {
    case v1::Command::kDeliver:
      return of(command.deliver().target());
    case v1::Command::kJoin:
      return of(command.join().target()) * times(command.join().topics_size());
    case v1::Command::kLeave:
      return of(command.leave().target()) * times(command.leave().topics_size());
    case v1::Command::kDisconnect:
      return of(command.disconnect().target());
    case v1::Command::kSetLabels:
      return of(command.set_labels().target());
    case v1::Command::ACTION_NOT_SET:
      break;
  }
  return 1;
}

}  // namespace herald
