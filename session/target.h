#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "session/message.h"
#include "session/selector.h"
#include "session/session_id.h"

namespace herald {

// Who is meant by a command, checked and parsed. `common.proto` describes the kinds.
struct ToUsers {
  std::vector<std::string> users;  // unique
};
struct ToTopics {
  std::vector<std::string> topics;  // unique
};
struct ToAll {};

struct Target {
  std::variant<SessionId, ToUsers, ToTopics, ToAll, Selector> to;
  ExceptionsPtr except;  // may be null
};

}  // namespace herald
