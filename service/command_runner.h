#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "broker/broker.h"
#include "herald/v1/push_service.pb.h"
#include "service/within_reach.h"
#include "session/ban_list.h"
#include "session/memory_budget.h"
#include "session/receipt_clock.h"
#include "session/session_table.h"

namespace herald {

class ClusterCommands;

// Checks one command and carries it out: through the broker where a topic's order is needed, else
// straight to the shards.
//
// Answers:   Run fills `result` and returns true, or returns false, and then what `later` gave is
//            called once with the answer, maybe before Run returns, maybe on a shard's thread: it
//            must not block.
// Threads:   any.
// Order:     deliveries that one thread runs take effect in that order for each topic and each
//            session. A Join, Leave, SetLabels or Disconnect is in force when it is answered.
// Errors:    in the result; nothing half-done stays behind.
// Receipts:  a command that asked for a report is answered through `later`, and has its `report`
//            called once, after that, if ReceiptFollows its result.
class CommandRunner {
 public:
  using Done = absl::AnyInvocable<void(v1::CommandResult)>;
  using Report = absl::AnyInvocable<void(v1::Receipt)>;

  CommandRunner(Broker& broker, SessionTable& table, ReceiptClock& clock, std::string node,
                std::size_t max_message_bytes, std::size_t max_topics_per_session,
                BanList* bans = nullptr)
      : broker_(broker),
        table_(table),
        clock_(clock),
        node_(std::move(node)),
        max_message_bytes_(max_message_bytes),
        max_topics_(max_topics_per_session),
        bans_(bans) {}

  struct Context {
    v1::ReportLevel default_report = v1::REPORT_LEVEL_UNSPECIFIED;
    std::string traceparent;       // W3C Trace Context header of the call; empty if there was none
    absl::Time now = absl::Now();  // when the command came
    std::string producer;          // its name; empty if it has none
    // Of a command that may be repeated, where the broker knows repeats (Publication).
    std::string dedupe_id, fingerprint;
    // Only sessions whose users it covers are changed, or met by their id. Null: all.
    ReachPtr reach;
    // Counts commands to a session that `reach` does not cover. May be null.
    std::shared_ptr<std::atomic<std::uint64_t>> beyond_reach;
    // A part of a command that ClusterCommands has taken over: only this node's sessions are meant.
    bool local_only = false;
    bool of_another_node = false;  // that part came from there
    ReceiptPtr receipt;  // then instead of one of its own; held until the answer. May be null
  };
  // Called at most once, before Run returns.
  using Later = absl::FunctionRef<Done()>;
  // `result` is empty but for what Run sets, and is of no use if it returns false. The payload is
  // moved out of `command`. `report` is needed only where AsksReport.
  bool Run(v1::Command& command, const Context& context, v1::CommandResult& result, Later later,
           Report report = nullptr);
  // For who has no use for an answer at once.
  void Run(v1::Command command, const Context& context, Done done, Report report = nullptr) {
    v1::CommandResult result;
    if (Run(command, context, result, [&] { return std::move(done); }, std::move(report)))
      done(std::move(result));
  }

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
  // True if the other nodes are asked before `command` takes effect: none must be run before it is
  // answered.
  bool HoldsTheOthers(const v1::Command& command) const;

  // For what comes from now on.
  // Of one command on the wire: the longest payload beside the most names of users or topics, and
  // exceptions.
  std::size_t max_command_bytes() const { return max_message_bytes_ + 1'664 * 1024; }
  void SetLimits(std::size_t max_message_bytes, std::size_t max_topics_per_session) {
    max_message_bytes_ = max_message_bytes;
    max_topics_ = max_topics_per_session;
  }
  bool BrokerRecognisesRepeats() const { return broker_.RecognisesRepeats(); }
  // True if a change must wait for the results of the deliveries before it: they may be on their way
  // to other nodes.
  bool OrdersAcrossNodes() const { return beyond_ != nullptr; }

  static absl::Status Draining() {
    return absl::UnavailableError("this replica is draining; send it to another");
  }
  const std::string& node() const { return node_; }
  std::uint64_t commands() const { return commands_.load(std::memory_order_relaxed); }
  // Messages that matched nobody, and sessions whose receipts ran out of time: drops that no shard
  // counts.
  std::uint64_t no_session() const { return no_session_.load(std::memory_order_relaxed); }
  std::uint64_t timeouts() const { return timeouts_.load(std::memory_order_relaxed); }
  // Called for each command that bans, on the replica that the producer sent it to, with what became of
  // the bans. Any thread. To be set before the first command.
  using OnBan =
      std::function<void(const std::string& producer, const std::vector<BanList::Ban>& bans,
                         const absl::Status& status)>;
  void set_on_ban(OnBan on_ban) { on_ban_ = std::move(on_ban); }
  // Deliveries that TakesMessage refuses at this level are answered RESOURCE_EXHAUSTED.
  std::atomic<MemoryLevel> memory{MemoryLevel::kNormal};
  // While set, everything is answered UNAVAILABLE.
  std::atomic<bool> draining{false};

 private:
  friend class ClusterCommands;
  // A message that has passed all checks.
  struct Accepted {
    MessageBody body;
    // To one of these three: a topic with nobody excepted, topics, or straight to sessions.
    TopicText topic;
    absl::InlinedVector<std::string, 1> topics;
    std::optional<Target> live;
    std::shared_ptr<WithinReach> within;  // of `live`; null: no limit
    ExceptionsPtr except;
    DeliveryOptionsPtr options;
    bool keep = true;
    bool require_online = false;
    std::string dedupe_id, fingerprint;
    OwnerId owner = 0;
    bool local_only = false;
  };

  static v1::ReportLevel LevelOf(const v1::Deliver& deliver, const Context& context) {
    return deliver.report() == v1::REPORT_LEVEL_UNSPECIFIED ? context.default_report
                                                            : deliver.report();
  }
  bool RunDeliver(v1::Deliver& deliver, const Context& context, v1::CommandResult& result,
                  Later later, Report report);
  absl::Status Accept(v1::Deliver& deliver, const Context& context, Accepted& accepted) const;
  absl::Status CheckReport(const v1::Deliver& deliver, v1::ReportLevel level,
                           const Accepted& message) const;
  // Makes the receipt that `report` will be told of, and lets `done` go first.
  ReceiptPtr MakeReceipt(std::uint64_t seq, const v1::Deliver& deliver, v1::ReportLevel level,
                         Done& done, Report report);
  bool Send(Accepted&& message, v1::CommandResult& result, Later later);
  // The common case, one topic and nobody excepted: makes nothing that it does not need.
  bool PublishOnOne(Accepted&& message, v1::CommandResult& result, Later later);
  void Answer(const absl::StatusOr<Published>& published, std::string topic, bool require_online,
              Receipt* receipt, v1::CommandResult& result);
  void CountNobody(Receipt* receipt);
  // Publishes the message on each topic and gathers one result.
  void PublishOnAll(Accepted&& message, v1::CommandResult result, Done done);
  void DeliverLive(Accepted&& message, v1::CommandResult result, Done done);
  bool RunJoin(const v1::Target& target,
               const google::protobuf::RepeatedPtrField<std::string>& topics, bool join,
               const Context& context, v1::CommandResult& result, Later later);
  bool RunDisconnect(const v1::Disconnect& disconnect, const Context& context,
                     v1::CommandResult& result, Later later);
  bool RunSetLabels(const v1::SetLabels& set_labels, const Context& context,
                    v1::CommandResult& result, Later later);
  // Null where the producer may touch every session.
  static std::shared_ptr<WithinReach> WithinReachOf(const Context& context);

  Broker& broker_;
  SessionTable& table_;
  ReceiptClock& clock_;
  ClusterCommands* beyond_ = nullptr;  // null: there are no other nodes
  const std::string node_;
  std::atomic<std::size_t> max_message_bytes_;
  std::atomic<std::size_t> max_topics_;
  BanList* const bans_;  // null: bans are not possible
  OnBan on_ban_;
  std::atomic<std::uint64_t> commands_{0};
  std::atomic<std::uint64_t> no_session_{0};
  std::atomic<std::uint64_t> timeouts_{0};
};

}  // namespace herald
