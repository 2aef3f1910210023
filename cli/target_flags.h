#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "herald/v1/common.pb.h"

namespace herald::cli {

// `<node>-<2 hex digits of the shard>-<32 hex digits>`. So `--except` can tell sessions from users.
bool LooksLikeSessionId(std::string_view text);

// The flags that say who is meant, the same for every command that takes a target.
class TargetFlags {
 public:
  // Declares them on `app`; *this must outlive the parse.
  void Declare(CLI::App& app, const std::string& group = "Target (one of)");
  // The target, once the flags have been parsed. kInvalidArgument unless exactly one is named, and
  // for empty names.
  absl::StatusOr<v1::Target> Build() const;

 private:
  std::vector<std::string> user_;
  std::vector<std::string> users_;
  std::vector<std::string> session_;
  std::vector<std::string> topic_;
  std::vector<std::string> topics_;
  std::vector<std::string> where_;
  bool all_ = false;
  std::vector<std::string> except_;
  std::vector<std::string> except_sessions_;
  std::vector<std::string> except_users_;
};

}  // namespace herald::cli
