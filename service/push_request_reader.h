#pragma once

#include <google/protobuf/arena.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "herald/v1/push_service.pb.h"

namespace herald {

// A PushRequest as it came over the wire, whose commands are parsed a part at a time: once parsed,
// a command may take 27 times its bytes (a list of empty names), and a stream may hold a request for
// long.
//
// Threads:   one at a time.
// Limits:    kMaxCommands a request, `max_command_bytes` a command; of one part kCommandsAPart
//            commands and kPartBytes, or one larger command.
class PushRequestReader {
 public:
  static constexpr int kMaxCommands = 4096;
  static constexpr int kCommandsAPart = 256;
  static constexpr std::size_t kPartBytes = 64 * 1024;

  explicit PushRequestReader(std::size_t max_command_bytes)
      : max_command_bytes_(max_command_bytes) {}

  // Looks at the lengths of what `wire` holds, and parses all but the commands. kInvalidArgument: it
  // is no PushRequest, or above a limit; then there is nothing to read.
  absl::Status Start(std::string wire);

  // Null without one.
  const v1::PushOpen* open() const { return rest_.has_open() ? &rest_.open() : nullptr; }
  int commands() const { return commands_; }
  // Of the request, until it has been read to its end.
  std::size_t bytes() const { return wire_.size(); }

  // True if there are commands that have not been parsed.
  bool HasMore() const { return next_part_ < parts_.size(); }
  // Parses the next part, which `arena` then holds; what it held before is gone. Null if it is not
  // readable.
  v1::PushRequest* NextPart(google::protobuf::Arena& arena);
  // Lets go of the request.
  void Clear();

 private:
  struct Part {
    std::size_t begin, end;  // in wire_
  };
  // Adds the command at [begin, end) to the last part, or begins another one.
  void AddCommand(std::size_t begin, std::size_t end);

  const std::size_t max_command_bytes_;
  std::string wire_;
  v1::PushRequest rest_;  // all but the commands
  int commands_ = 0;
  int commands_in_part_ = 0;  // of the last
  std::vector<Part> parts_;
  std::size_t next_part_ = 0;
};

}  // namespace herald
