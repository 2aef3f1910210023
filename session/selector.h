// A label selector: which sessions a command is meant for.
//
//   platform=web, tier in (gold,silver), !beta
//
// Requirements are joined by commas and all of them must hold:
//
//   key = value, key == value   the label is there and has this value
//   key != value                the label is absent or has another value
//   key in (a,b)                the label is there and has one of the values
//   key notin (a,b)             the label is absent or has none of the values
//   key                         the label is there
//   !key                        the label is absent
//
// A value may be empty (`key=`). Kubernetes' `<` and `>` are not supported.
//
// Threads:   immutable once parsed; any number may call Matches.
// Ownership: owns its keys and values.
// Limits:    1,024 bytes, 32 requirements, 64 values in one list; keys and
//            values as in labels.h. An empty selector is an error.
// Errors:    kInvalidArgument, with what is wrong and the column, from 1.
// Spec:      Kubernetes, "Labels and Selectors", and its
//            apimachinery/pkg/labels for the cases that page leaves open.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "session/labels.h"

namespace herald {

inline constexpr std::size_t kMaxSelectorBytes = 1024;
inline constexpr std::size_t kMaxSelectorRequirements = 32;
inline constexpr std::size_t kMaxSelectorValues = 64;

class Selector {
 public:
  static absl::StatusOr<Selector> Parse(std::string_view text);

  bool Matches(const Labels& labels) const;

 private:
  struct Requirement {
    enum class Operator { kIn, kNotIn, kExists, kAbsent };

    std::string key;
    Operator op = Operator::kExists;
    std::vector<std::string> values;  // sorted, unique; of kIn and kNotIn only
  };
  class Parser;

  std::vector<Requirement> requirements_;  // at least one
};

}  // namespace herald
