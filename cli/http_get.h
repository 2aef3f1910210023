#pragma once

#include <chrono>
#include <string>

#include "absl/status/statusor.h"

namespace herald::cli {

struct HttpAnswer {
  int status = 0;
  std::string body;  // at most 64 KiB of it
};

// GET `path` of a plain HTTP server; blocks for at most `timeout`. kUnavailable says why there is no answer.
absl::StatusOr<HttpAnswer> HttpGet(const std::string& host, const std::string& port,
                                   const std::string& path, std::chrono::milliseconds timeout);

}  // namespace herald::cli
