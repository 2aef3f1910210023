#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_set.h"
#include "session/mutex.h"

namespace herald {

// Subjects on which the NATS server does not permit this user to publish, as its errors name them.
// Permissions are per connection: a new one begins with an empty set.
//
// Threads: any. Contains costs one relaxed load while nothing is denied.
// Limits:  kMaxSubjects are remembered.
class NatsDenied {
 public:
  static constexpr std::size_t kMaxSubjects = 4'096;

  // The subject, if `error` is the server's "Permissions Violation for Publish to …".
  static std::optional<std::string> SubjectOf(std::string_view error);

  void Add(std::string subject);
  bool Contains(std::string_view subject) const;
  void Clear();

 private:
  std::atomic<bool> any_{false};
  mutable Mutex mutex_;
  absl::flat_hash_set<std::string> subjects_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace herald
