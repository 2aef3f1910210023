#pragma once

#include <string>
#include <string_view>

#include "broker/cluster.h"
#include "broker/receipt_relay.h"
#include "service/command_runner.h"

namespace herald {

// Commands that concern the sessions of other nodes: asks those nodes to carry them out among their
// own, and does so for them.
//
//   target                                    | goes to
//   ------------------------------------------+-----------------------------------------------------
//   session id of another node                | that node
//   of a Join, Leave, SetLabels or Disconnect | this node and all peers
//   selector                                  | this node and all peers
//   users, topics, all of a Deliver           | the broker, which reaches all; with require_online
//                                             | the peers are asked first who is there
//
// Order:     what one thread runs is asked of each node in that order. A change takes effect after
//            what this node has published before (Cluster::Barrier), so that it does not overtake
//            messages on their way; its stream waits for their results first (PushStream).
// Threads:   Run from any; the rest on the cluster's.
// Limits:    waits kDeadline for an answer.
// Errors:    NOT_FOUND for a session of a node that is not there; UNAVAILABLE if a node did not answer
//            a command to one of its sessions, or a change: it may have been carried out.
class ClusterCommands {
 public:
  static constexpr absl::Duration kDeadline = absl::Seconds(2);

  // Registers with `cluster`, before it starts, and with `runner`. Outlives both's use.
  ClusterCommands(Cluster& cluster, ReceiptRelay& relay, CommandRunner& runner,
                  SessionTable& table);

  // Takes the command over if it concerns other nodes: then it is answered through `later`, and
  // `command` is of no use any more. False: this node's part is all, and nothing has been done.
  bool Run(v1::Command& command, const CommandRunner::Context& context, CommandRunner::Later later,
           CommandRunner::Report& report);

  // True if Run has to ask who is there before the command takes effect: none must overtake it.
  static bool AsksFirst(const v1::Command& command);

 private:
  struct Gathering;

  void OnCommand(std::string request, Cluster::Answer answer);
  void OnCount(const std::string& request, Cluster::Answer answer);
  void RunChange(v1::Command& command, const CommandRunner::Context& context,
                 CommandRunner::Done done);
  void AskOwner(const std::string& node, v1::Command& command,
                const CommandRunner::Context& context, CommandRunner::Done done,
                CommandRunner::Report& report);
  void Scatter(v1::Command& command, const CommandRunner::Context& context,
               CommandRunner::Done done, CommandRunner::Report& report,
               const std::vector<std::string>& peers);
  bool AskWhoIsThere(v1::Command& command, const CommandRunner::Context& context,
                     CommandRunner::Later later, CommandRunner::Report& report);
  // Null if no report is asked for.
  ReceiptPtr MakeReceipt(const v1::Command& command, const CommandRunner::Context& context,
                         CommandRunner::Done& done, CommandRunner::Report& report);

  Cluster& cluster_;
  ReceiptRelay& relay_;
  CommandRunner& runner_;
  SessionTable& table_;
};

}  // namespace herald
