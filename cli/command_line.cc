#include "cli/command_line.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include "cli/text.h"

namespace herald::cli {

absl::StatusOr<v1::Command> ParseCommandLine(std::string_view line, std::uint64_t line_number) {
  v1::Command command;
  const auto status = google::protobuf::util::JsonStringToMessage(std::string(line), &command);
  if (!status.ok()) {
    // What follows the first line is a drawing of where it went wrong.
    const std::string_view detail(status.message().data(), status.message().size());
    return absl::InvalidArgumentError(fmt::format("line {} is not a Command in JSON: {}",
                                                  line_number,
                                                  Printable(detail.substr(0, detail.find('\n')))));
  }
  if (command.seq() == 0) command.set_seq(line_number);
  return command;
}

v1::CommandResult BadLineResult(std::uint64_t line_number, std::string_view detail) {
  v1::CommandResult result;
  result.set_seq(line_number);
  result.set_code(static_cast<int>(absl::StatusCode::kInvalidArgument));
  result.set_detail(std::string(detail));
  return result;
}

}  // namespace herald::cli
