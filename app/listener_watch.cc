#include "app/listener_watch.h"

#include <utility>

#include "app/logging.h"
#include "fmt/format.h"

namespace herald {
namespace {

constexpr int kFailuresToBeDead = 2;

}  // namespace

ListenerWatch::ListenerWatch(std::vector<Port> ports) {
  ports_.reserve(ports.size());
  for (Port& port : ports) {
    PortCheck check(port.check);
    ports_.push_back({std::move(port), std::move(check), 0, ""});
  }
  thread_ = std::thread([this] { Loop(); });
}

ListenerWatch::~ListenerWatch() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

std::string ListenerWatch::Problem() const {
  const std::lock_guard lock(mutex_);
  return problem_;
}

void ListenerWatch::Check(Watched& watched) {
  const auto stopped = [this] {
    const std::lock_guard lock(mutex_);
    return stopped_;
  };
  const std::string before = watched.port.before ? watched.port.before() : std::string();
  const absl::Status status = watched.check.Run(kTimeout, before, stopped);
  if (absl::IsCancelled(status)) return;
  if (status.ok()) {
    watched.failures = 0;
    return;
  }
  ++watched.failures;
  watched.reason = std::string(status.message());
}

void ListenerWatch::Loop() {
  for (;;) {
    std::string problem;
    for (Watched& watched : ports_) {
      Check(watched);
      if (watched.failures >= kFailuresToBeDead) {
        problem += fmt::format("{}the {} does not answer ({})", problem.empty() ? "" : "; ",
                               watched.port.name, watched.reason);
      }
    }
    std::unique_lock lock(mutex_);
    if (std::exchange(checked_, true) && problem.empty() != problem_.empty()) {
      if (problem.empty()) {
        LogInfo("all listeners answer again", {});
      } else {
        LogError("not ready: a listener does not answer", {{"problem", problem}});
      }
    }
    problem_ = std::move(problem);
    wake_.wait_for(lock, absl::ToChronoMilliseconds(kPeriod), [this] { return stopped_; });
    if (stopped_) return;
  }
}

}  // namespace herald
