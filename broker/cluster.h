#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace herald {

// The other replicas: who is there, and how to ask or tell them something.
//
// A method is a short name that both sides know; what is asked and answered are bytes, by convention
// a serialized protobuf message, to which fields are only added: replicas of two versions work
// together. Messages from one node to another keep their order; nothing else is promised of them:
// an answer may be lost, and then the deadline tells.
//
// Threads: Handle and Watch before Start; the rest from any thread. Handlers, answers, watchers and
//          what After runs do so one at a time on the cluster's thread, but that Ask may answer on
//          the caller's before it returns: they must not block.
class Cluster {
 public:
  virtual ~Cluster() = default;

  virtual std::string_view self() const = 0;
  // The other nodes that have been heard of within the last seconds, in no order.
  virtual std::vector<std::string> peers() const = 0;

  // To be called exactly once, on any thread, or dropped: then the asker runs into its deadline.
  using Answer = absl::AnyInvocable<void(absl::StatusOr<std::string>)>;
  using Handler = std::function<void(std::string_view from, std::string request, Answer answer)>;
  virtual void Handle(std::string method, Handler handler) = 0;

  // kNotFound: there is no such node; kUnavailable: it fell silent, or nothing can be sent now;
  // kDeadlineExceeded: it has not answered in time; kUnimplemented: it does not know the method
  // (another version); else what its handler answered. `done` runs once.
  virtual void Ask(std::string_view node, std::string_view method, std::string request,
                   absl::Duration deadline, Answer done) = 0;

  struct Answers {
    std::vector<std::pair<std::string, std::string>> by_node;  // node, what it answered
    std::vector<std::string> unanswered;                       // or answered with an error
    std::vector<std::string> lost;  // fell silent within the last minute, and were not asked
  };
  // All peers, and not this node. `done` runs once, when the last has answered or the deadline has
  // passed; at once where there are none.
  virtual void AskAll(std::string_view method, std::string request, absl::Duration deadline,
                      absl::AnyInvocable<void(Answers)> done) = 0;
  // Without an answer. An empty `node` is all peers. What cannot be sent now is lost.
  virtual void Tell(std::string_view node, std::string_view method, std::string message) = 0;

  // Runs `done` once all that this node has sent before, publications on the same connection
  // included, has reached those that it is for and this node itself, as far as they are connected to
  // the same server; at once if nothing can be sent, or after two seconds. In the order of the calls.
  virtual void Barrier(absl::AnyInvocable<void()> done) = 0;

  // A node came, or went: `lost` if it fell silent, not if it said goodbye. A node that restarted
  // under its old name goes before it comes.
  struct PeerChange {
    std::string node;
    bool here = false;
    bool lost = false;
    std::uint64_t sessions = 0;  // of a node that went: what it held when last heard of
  };
  using PeerWatcher = std::function<void(const PeerChange&)>;
  virtual void Watch(PeerWatcher watcher) = 0;

  // Runs `task` on the cluster's thread, not before `delay`; never once the cluster has ended.
  virtual void After(absl::Duration delay, absl::AnyInvocable<void()> task) = 0;
};

}  // namespace herald
