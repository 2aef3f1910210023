#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "service/command_runner.h"
#include "service/idempotency.h"

namespace herald {

// What one Push stream, or one unary call, runs its commands through: CommandRunner, behind a
// memory of what has been carried out. Commands without a key go straight through.
//
// Keys:      `seq`, once Open has been given a producer_id; else `deliver.idempotency_key`, if set.
// Order:     a repeat of what another stream has in flight waits for its result. What follows may
//            only run when that is there (see Holds), so that two streams of one producer, each
//            carrying out a part of its commands, still keep their order.
// Threads:   Open, Run and Holds by one at a time; answers as CommandRunner says.
class IdempotentRunner {
 public:
  // `producer`: the authenticated name, empty where anybody may call.
  IdempotentRunner(CommandRunner& runner, Idempotency& idempotency, std::string producer)
      : runner_(runner), idempotency_(idempotency), producer_(std::move(producer)) {}

  // The stream's `open.producer_id`, before its first command; empty is none. Returns the last_seq
  // of that producer, or kInvalidArgument.
  absl::StatusOr<std::uint64_t> Open(std::string_view producer_id);

  // As CommandRunner's.
  bool Run(v1::Command& command, const CommandRunner::Context& context, v1::CommandResult& result,
           CommandRunner::Later later, CommandRunner::Report report = nullptr) {
    if (!stream_ && command.deliver().idempotency_key().empty())
      return runner_.Run(command, context, result, later, std::move(report));
    return RunOnce(command, context, result, later, std::move(report));
  }
  void Run(v1::Command command, const CommandRunner::Context& context, CommandRunner::Done done,
           CommandRunner::Report report = nullptr) {
    v1::CommandResult result;
    if (Run(command, context, result, [&] { return std::move(done); }, std::move(report)))
      done(std::move(result));
  }

  // True while a command waits for the result of another stream's: run none before it is answered.
  bool Holds() const { return waiting_ && *waiting_ > 0; }

  const std::string& node() const { return runner_.node(); }

 private:
  bool RunOnce(v1::Command& command, const CommandRunner::Context& context,
               v1::CommandResult& result, CommandRunner::Later later, CommandRunner::Report report);

  CommandRunner& runner_;
  Idempotency& idempotency_;
  std::string producer_;
  std::string producer_id_;  // of the stream; empty: none
  Idempotency::Stream stream_;
  std::shared_ptr<std::atomic<std::size_t>> waiting_;  // made when first needed
};

}  // namespace herald
