#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "session/string_map.h"

namespace herald {

// The bearer tokens that producers may use, from a file: one `<name> <token>` a line, `#` begins a
// comment. Only hashes are kept, so that a comparison says nothing about a token and a core dump
// holds none.
//
// Threads:   immutable once loaded, any thread.
class ProducerAuth {
 public:
  // Anybody may call: for loopback, mTLS and --insecure_grpc.
  ProducerAuth() = default;
  // kInvalidArgument names the file and the line: a token has at least 16 characters and stands
  // once.
  static absl::StatusOr<ProducerAuth> Load(const std::string& path);

  // `authorization`: the header's value, empty if absent. The producer's name, or kUnauthenticated.
  absl::StatusOr<std::string> Check(std::string_view authorization) const;

 private:
  bool open_ = true;
  StringMap<std::string> names_;  // SHA-256 of the token → name
};

}  // namespace herald
