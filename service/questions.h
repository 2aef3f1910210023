#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "broker/cluster.h"
#include "herald/internal/v1/cluster.pb.h"
#include "herald/v1/admin_service.pb.h"
#include "herald/v1/session_service.pb.h"
#include "service/bounded_work.h"
#include "service/executor.h"
#include "session/reach.h"
#include "session/session_table.h"

namespace herald {

// Questions about the sessions and nodes of the whole cluster: asks all nodes, this one included,
// and puts the answers together. What a node that did not answer holds is missing, and its name is
// told.
//
// Threads:   any. `done` runs on the executor.
// Limits:    waits kDeadline for the others. kCollectedAtOnce questions go through the sessions of this
//            node at a time, since each may hold what is known of all of them.
// Errors:    kInvalidArgument naming the field.
class Questions {
 public:
  static constexpr absl::Duration kDeadline = absl::Seconds(2);
  static constexpr std::size_t kCollectedAtOnce = 4;
  static constexpr std::uint32_t kDefaultPage = 100;
  static constexpr std::uint32_t kMaxPage = 1'000;
  static constexpr std::uint32_t kDefaultPresence = 1'000;
  static constexpr std::uint32_t kMaxPresence = 10'000;

  template <typename Response>
  using Done = absl::AnyInvocable<void(absl::StatusOr<Response>)>;

  // `cluster`: null where there is this node alone; else this registers with it, before it starts.
  // `describe`: this node.
  Questions(SessionTable& table, std::string node, std::string broker,
            std::function<v1::NodeInfo()> describe, Executor& executor, Cluster* cluster);

  // `reach`: sessions whose users are outside do not exist, nor do topics outside; null: all do.

  // In the order of their ids, whatever their nodes.
  void ListSessions(const v1::ListSessionsRequest& request, const ReachPtr& reach,
                    Done<v1::ListSessionsResponse> done);
  // kNotFound; kUnavailable if its node does not answer.
  void GetSession(const v1::GetSessionRequest& request, const ReachPtr& reach,
                  Done<v1::GetSessionResponse> done);
  void GetPresence(const v1::GetPresenceRequest& request, const ReachPtr& reach,
                   Done<v1::GetPresenceResponse> done);
  void GetInfo(Done<v1::GetInfoResponse> done);

 private:
  template <typename Answer>
  struct Answers {
    std::vector<Answer> answers;
    std::vector<std::string> missing;  // nodes
  };
  // Puts together the answer of this node, which `here` gives, and those of the others.
  template <typename Answer>
  void AskAll(std::string_view method, std::string request,
              absl::AnyInvocable<void(absl::AnyInvocable<void(Answer)>)> here,
              absl::AnyInvocable<void(Answers<Answer>)> done);
  template <typename Request, typename Answer>
  void Handle(std::string method,
              void (Questions::*here)(const Request&, absl::AnyInvocable<void(Answer)>));

  // The answers of this node, on the executor.
  void ListHere(const internal::v1::ListSessions& request,
                absl::AnyInvocable<void(internal::v1::SessionList)> done);
  void GetHere(const v1::GetSessionRequest& request,
               absl::AnyInvocable<void(v1::GetSessionResponse)> done);
  void PresenceHere(const internal::v1::AskPresence& request,
                    absl::AnyInvocable<void(internal::v1::PresentSessions)> done);
  void DescribeHere(const v1::GetInfoRequest& request, absl::AnyInvocable<void(v1::NodeInfo)> done);

  SessionTable& table_;
  const std::string node_;
  const std::string broker_;
  const std::function<v1::NodeInfo()> describe_;
  Executor& executor_;
  Cluster* const cluster_;
  BoundedWork collecting_{kCollectedAtOnce};
};

}  // namespace herald
