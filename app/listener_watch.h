#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "app/port_check.h"

namespace herald {

// Calls the client port and the gRPC port every kPeriod, as their clients do, so that readiness says
// what it claims: a listener that accepts nobody any more makes the replica unready. (After EMFILE
// older versions of gRPC never accept again: CVE-2023-4785. The admin port answers the question
// itself.)
//
// Threads: has one of its own, which blocks. Problem from any thread.
// Limits:  a port that gives no answer twice in a row counts as dead: 2 × (kTimeout + kPeriod) at most.
class ListenerWatch {
 public:
  static constexpr absl::Duration kPeriod = absl::Seconds(2);
  static constexpr absl::Duration kTimeout = absl::Seconds(3);

  struct Port {
    std::string name;  // in the reason, such as "client port"
    PortCheck::Options check;
    // Bytes to send first, asked for before each check; may be empty.
    std::function<std::string()> before;
  };
  explicit ListenerWatch(std::vector<Port> ports);
  ~ListenerWatch();
  ListenerWatch(const ListenerWatch&) = delete;
  ListenerWatch& operator=(const ListenerWatch&) = delete;

  // Empty if all ports answer, else what is wrong. "not checked yet" until the first round is over.
  std::string Problem() const;

 private:
  struct Watched {
    Port port;
    PortCheck check;
    int failures = 0;  // in a row
    std::string reason;
  };
  void Loop();
  void Check(Watched& watched);

  std::vector<Watched> ports_;  // the thread's
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopped_ = false;
  bool checked_ = false;  // a round is over
  std::string problem_ = "the listeners have not been checked yet";
  std::thread thread_;
};

}  // namespace herald
