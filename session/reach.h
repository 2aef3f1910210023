// Which users and topics one producer may see or touch.
//
// Threads: immutable values, any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "session/topic_name.h"

namespace herald {

// Patterns over names. A name is in the set if one of the patterns matches it.
//
// `**` alone means every name, and also a name that is empty (a session without a user).
// Limits: kMaxPatterns patterns; Matches allocates nothing.
class PatternSet {
 public:
  static constexpr std::size_t kMaxPatterns = 128;

  PatternSet() = default;  // nothing
  static PatternSet Everything();
  // kInvalidArgument for a bad pattern, a repeated one, or more than kMaxPatterns.
  static absl::StatusOr<PatternSet> Parse(const std::vector<std::string>& texts);

  bool Matches(std::string_view name) const;
  bool empty() const { return patterns_.empty(); }
  bool everything() const { return everything_; }
  std::vector<std::string> texts() const;
  // For error messages: `"a/**", "b"`, at most five patterns, or `nothing`.
  std::string Describe() const;

  friend bool operator==(const PatternSet&, const PatternSet&) = default;

 private:
  std::vector<TopicPattern> patterns_;
  bool everything_ = false;
};

// Sessions, events and topics outside of it do not exist for the producer.
struct Reach {
  PatternSet users;
  PatternSet topics;

  // `user`: empty for an anonymous session.
  bool CoversUser(std::string_view user) const { return users.Matches(user); }
  // A personal topic is covered by its user; `$all` only by every user.
  bool CoversTopic(std::string_view topic) const;

  friend bool operator==(const Reach&, const Reach&) = default;
};
using ReachPtr = std::shared_ptr<const Reach>;  // null: everything

}  // namespace herald
