#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "herald/v1/push_service.pb.h"

namespace herald::cli {

// One line of `heraldctl stream`: a Command in canonical proto JSON. Its seq becomes `line_number`
// where it has none. kInvalidArgument says what is wrong with the line; whether the command makes
// sense is the server's to say.
absl::StatusOr<v1::Command> ParseCommandLine(std::string_view line, std::uint64_t line_number);

// The result line for one that was not sent.
v1::CommandResult BadLineResult(std::uint64_t line_number, std::string_view detail);

}  // namespace herald::cli
