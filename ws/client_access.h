#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "session/topic_rules.h"
#include "ws/auth/claims.h"

namespace herald {

// What one client may subscribe to and publish on: the topic's rule, and what its token allows.
//
// Threads:   the session's shard.
// Memory:    none for a token that allows nothing of its own.
class ClientAccess {
 public:
  ClientAccess() = default;
  // Patterns of the token that are not well formed allow nothing.
  explicit ClientAccess(const Claims& claims);

  // kPermissionDenied says which of the two does not allow it.
  absl::Status MaySubscribe(const TopicRule& rule, const std::string& topic) const;
  absl::Status MayPublish(const TopicRule& rule, const std::string& topic) const;

 private:
  struct Allowed {
    std::vector<TopicPattern> subscribe;
    std::vector<TopicPattern> publish;
  };
  std::unique_ptr<const Allowed> allowed_;  // null: nothing
};

}  // namespace herald
