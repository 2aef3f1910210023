#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace herald::cli {

// A whole file, or stdin for "-". kInvalidArgument names the file and says why not, also when it is
// longer than `max_bytes`.
absl::StatusOr<std::string> ReadFile(const std::string& path, std::size_t max_bytes);
// A secret on one line: as ReadFile, without white space around it; kInvalidArgument when that
// leaves nothing, or something with blanks or control characters in it (a key pasted into the wrong
// flag).
absl::StatusOr<std::string> ReadToken(const std::string& path);

}  // namespace herald::cli
