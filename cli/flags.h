#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace herald::cli {

// Kinds of flags that CLI11 does not have, or has with habits that surprise here. Bad values are
// usage errors. The referenced variables must outlive the parse.

// May be repeated, each time with one value or several after commas.
CLI::Option* AddList(CLI::App& app, const std::string& flag, std::vector<std::string>& values,
                     const std::string& help);
// May be repeated; each value is taken whole, with its commas.
CLI::Option* AddRepeated(CLI::App& app, const std::string& flag, std::vector<std::string>& values,
                         const std::string& help);
// May be repeated: `k=v`, with an optional empty v.
CLI::Option* AddPairs(CLI::App& app, const std::string& flag,
                      std::map<std::string, std::string>& pairs, const std::string& help);
// `300ms`, `5s`, `1m30s`; not negative.
CLI::Option* AddDuration(CLI::App& app, const std::string& flag,
                         std::optional<absl::Duration>& duration, const std::string& help);
// One of `names`; `value` becomes the number beside it.
CLI::Option* AddChoice(CLI::App& app, const std::string& flag, int& value,
                       std::vector<std::pair<std::string, int>> names, const std::string& help);

}  // namespace herald::cli
