#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herald {

// What the query of `/ws` says. Browsers send `| [ ] { } ^ \ "` and others as they are, so every
// byte stands for itself but `&`, `=`, `%` and `+`, which is a space.
struct Query {
  // A list is split at its commas before it is decoded: `%2C` is a comma inside a name.
  std::vector<std::string> topics;
  std::vector<std::string> labels;  // `key=value`
  std::optional<std::string> token, user;
};

// Parses what follows the target's `?`. Unknown parameters are ignored. Nothing if a `%` stands
// without its two hexadecimal digits.
std::optional<Query> ParseQuery(std::string_view query);

}  // namespace herald
