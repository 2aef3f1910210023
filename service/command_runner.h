#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "broker/broker.h"
#include "herald/v1/push_service.pb.h"
#include "session/receipt_clock.h"
#include "session/session_table.h"

namespace herald {

// Checks one command and carries it out: through the broker where a topic's order is needed, else
// straight to the shards.
//
// Threads:   any. `done` is called once, maybe before Run returns, maybe on a shard's thread: it
//            must not block.
// Order:     deliveries that one thread runs take effect in that order for each topic and each
//            session. A Join, Leave, SetLabels or Disconnect is in force when its `done` has been
//            called.
// Errors:    in the result; nothing half-done stays behind.
// Receipts:  a command that asked for a report has its `report` called once, after its `done`, if
//            ReceiptFollows its result.
class CommandRunner {
 public:
  using Done = absl::AnyInvocable<void(v1::CommandResult)>;
  using Report = absl::AnyInvocable<void(v1::Receipt)>;

  CommandRunner(Broker& broker, SessionTable& table, ReceiptClock& clock, std::string node,
                std::size_t max_message_bytes, std::size_t max_topics_per_session)
      : broker_(broker),
        table_(table),
        clock_(clock),
        node_(std::move(node)),
        max_message_bytes_(max_message_bytes),
        max_topics_(max_topics_per_session) {}

  struct Context {
    v1::ReportLevel default_report = v1::REPORT_LEVEL_UNSPECIFIED;
    std::string traceparent;  // W3C Trace Context header of the call; empty if there was none
  };
  // `report` is needed only where AsksReport.
  void Run(const v1::Command& command, const Context& context, Done done, Report report = nullptr);

  // Not what failed, nor what was not carried out again: the first time has told.
  static bool ReceiptFollows(const v1::CommandResult& result) {
    return result.code() == 0 && !result.duplicate();
  }
  static bool AsksReport(const v1::Command& command, const Context& context) {
    return command.has_deliver() && LevelOf(command.deliver(), context) > v1::REPORT_LEVEL_ACCEPTED;
  }

  // True for commands that change sessions: those behind may have to wait until they are in force.
  static bool IsChange(const v1::Command& command) { return !command.has_deliver(); }
  // True if `command` need not wait for the changes before it: a change aimed at a session, at all
  // or by selector asks no index, and the order of the mailboxes is enough.
  static bool MayFollowChanges(const v1::Command& command);

  const std::string& node() const { return node_; }
  std::uint64_t commands() const { return commands_.load(std::memory_order_relaxed); }
  // Messages that matched nobody, and sessions whose receipts ran out of time: drops that no shard
  // counts.
  std::uint64_t no_session() const { return no_session_.load(std::memory_order_relaxed); }
  std::uint64_t timeouts() const { return timeouts_.load(std::memory_order_relaxed); }
  // While set, deliveries are answered RESOURCE_EXHAUSTED.
  std::atomic<bool> memory_full{false};
  // While set, everything is answered UNAVAILABLE.
  std::atomic<bool> draining{false};

 private:
  // A message that has passed all checks.
  struct Accepted {
    MessageBodyPtr body;
    Target target;
    DeliveryOptionsPtr options;
    bool keep = true;
    bool require_online = false;
  };

  static v1::ReportLevel LevelOf(const v1::Deliver& deliver, const Context& context) {
    return deliver.report() == v1::REPORT_LEVEL_UNSPECIFIED ? context.default_report
                                                            : deliver.report();
  }
  void RunDeliver(std::uint64_t seq, const v1::Deliver& deliver, const Context& context, Done done,
                  Report report);
  absl::StatusOr<Accepted> Accept(const v1::Deliver& deliver, const Context& context) const;
  absl::Status CheckReport(const v1::Deliver& deliver, v1::ReportLevel level,
                           const Accepted& message) const;
  // Makes the receipt that `report` will be told of, and lets `done` go first.
  ReceiptPtr MakeReceipt(std::uint64_t seq, const v1::Deliver& deliver, v1::ReportLevel level,
                         Done& done, Report report);
  // Publishes the message on each topic and gathers one result.
  void PublishOn(v1::CommandResult result, Accepted message, Done done);
  void DeliverLive(v1::CommandResult result, Accepted message, Done done);
  void RunJoin(std::uint64_t seq, const v1::Target& target,
               const google::protobuf::RepeatedPtrField<std::string>& topics, bool join, Done done);
  void RunDisconnect(std::uint64_t seq, const v1::Disconnect& disconnect, Done done);
  void RunSetLabels(std::uint64_t seq, const v1::SetLabels& set_labels, Done done);

  Broker& broker_;
  SessionTable& table_;
  ReceiptClock& clock_;
  const std::string node_;
  const std::size_t max_message_bytes_;
  const std::size_t max_topics_;
  std::atomic<std::uint64_t> commands_{0};
  std::atomic<std::uint64_t> no_session_{0};
  std::atomic<std::uint64_t> timeouts_{0};
};

}  // namespace herald
