#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "service/command_runner.h"
#include "service/idempotency.h"
#include "service/producer_gate.h"
#include "service/producer_moves.h"

namespace herald {

// What one Push stream, or one unary call, runs its commands through: CommandRunner, behind a
// memory of what has been carried out. Commands without a key go straight through.
//
// Keys:      `seq`, once Open has been given a producer_id; else `deliver.idempotency_key`, if set.
// Rights:    checked before anything is carried out, also of a repeat. What the gate refuses is not
//            remembered, since nothing was tried; but `last_seq` stays below it.
// Order:     a repeat of what another stream has in flight waits for its result. What follows may
//            only run when that is there (see Holds), so that two streams of one producer, each
//            carrying out a part of its commands, still keep their order.
// Threads:   Open, Run and Holds by one at a time; answers as CommandRunner says.
class IdempotentRunner {
 public:
  // `gate`: of the producer, whose name owns the keys.
  // `moves`: null where there are no other nodes.
  IdempotentRunner(CommandRunner& runner, Idempotency& idempotency, ProducerGate gate,
                   ProducerMoves* moves = nullptr)
      : runner_(runner), idempotency_(idempotency), gate_(std::move(gate)), moves_(moves) {}

  ProducerGate& gate() { return gate_; }
  const ProducerGate& gate() const { return gate_; }

  // The stream's `open.producer_id`, before its first command; empty is none. Returns the last_seq
  // of that producer, or kInvalidArgument.
  absl::StatusOr<std::uint64_t> Open(std::string_view producer_id);
  // True if other nodes may know that producer: then, before its first command, they have to be asked.
  bool MustAskNodes() const;
  // `done` gets the last_seq of the whole cluster, on any thread, maybe before this returns.
  void AskNodes(std::string_view producer_id, absl::AnyInvocable<void(std::uint64_t)> done);

  // As CommandRunner's. A command that the gate refuses is answered with its code.
  bool Run(v1::Command& command, const CommandRunner::Context& context, v1::CommandResult& result,
           CommandRunner::Later later, CommandRunner::Report report = nullptr) {
    if (!stream_ && command.deliver().idempotency_key().empty() &&
        !runner_.HoldsTheOthers(command)) {
      if (!gate_.open() && Refused(command, result)) return true;
      return runner_.Run(command, context, result, later, std::move(report));
    }
    return RunOnce(command, context, result, later, std::move(report));
  }
  void Run(v1::Command command, const CommandRunner::Context& context, CommandRunner::Done done,
           CommandRunner::Report report = nullptr) {
    v1::CommandResult result;
    if (Run(command, context, result, [&] { return std::move(done); }, std::move(report)))
      done(std::move(result));
  }

  // True while a command waits for the result of another stream's, or for what other nodes say
  // before it may take effect: run none before it is answered.
  bool Holds() const { return waiting_ && *waiting_ > 0; }

  std::size_t max_command_bytes() const { return runner_.max_command_bytes(); }
  bool OrdersAcrossNodes() const { return runner_.OrdersAcrossNodes(); }
  const std::string& node() const { return runner_.node(); }

 private:
  // True: the gate refuses it, and `result` says why.
  bool Refused(const v1::Command& command, v1::CommandResult& result);
  bool RunOnce(v1::Command& command, const CommandRunner::Context& context,
               v1::CommandResult& result, CommandRunner::Later later, CommandRunner::Report report);
  // `done`, and until it is called this holds.
  CommandRunner::Done Hold(CommandRunner::Done done);

  CommandRunner& runner_;
  Idempotency& idempotency_;
  ProducerGate gate_;
  std::string producer_id_;  // of the stream; empty: none
  ProducerMoves* moves_;
  Idempotency::Stream stream_;
  std::shared_ptr<std::atomic<std::size_t>> waiting_;  // made when first needed
};

}  // namespace herald
