#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "broker/cluster.h"
#include "broker/cluster_frame.h"
#include "session/mutex.h"
#include "session/string_map.h"

namespace herald {

struct ClusterNodeOptions {
  std::string name;  // letters, digits, hyphens: without spaces
  // Sends a frame to a node, or to all (an empty name; this node may be among them). Any thread;
  // must not block. False: nothing can be sent now.
  std::function<bool(std::string_view node, std::string frame)> send;
  // False while nothing can be heard: then nobody is held to be lost.
  std::function<bool()> connected = [] { return true; };
  // Told to the others, for `PeerChange::sessions`.
  std::function<std::uint64_t()> sessions = [] { return std::uint64_t{0}; };
  // Another live node has this node's name: one line, at most every ten seconds.
  std::function<void(std::string)> on_conflict = [](const std::string&) {};

  absl::Duration heartbeat = absl::Seconds(1);
  absl::Duration lost_after = absl::Seconds(5);
  // How long Start asks whether the name is taken.
  absl::Duration name_check = absl::Milliseconds(500);
  // Longer frames go in parts.
  std::size_t max_frame_bytes = 512 * 1024;
};

// A Cluster over anything that carries frames: who is there, by heartbeats; questions and answers.
//
// A node that restarts has a newer incarnation, and replaces itself at once; frames of an older one
// are ignored. A node that was stopped for a while (SIGSTOP) does not hold the others to be lost
// for it.
//
// Threads:   one of its own, on which handlers, answers and watchers run. Receive from any thread;
//            frames keep the order in which it is called.
// Limits:    messages of 64 MiB; longer ones are not sent, and the asker is told kOutOfRange.
class ClusterNode final : public Cluster {
 public:
  static constexpr std::size_t kMaxMessageBytes = 64u << 20;
  // So long is a lost node remembered: what is meant for it is UNAVAILABLE and not NOT_FOUND.
  static constexpr absl::Duration kLostFor = absl::Minutes(5);
  // And so long do answers to all say that one is missing.
  static constexpr absl::Duration kLostLately = absl::Minutes(1);

  explicit ClusterNode(ClusterNodeOptions options);
  ~ClusterNode() override { Stop(/*goodbye=*/false); }

  // Once `send` and Receive work. kAlreadyExists if a live node has this name.
  absl::Status Start();
  // Ends the thread; asks under way are never answered. `goodbye`: the others need not wait.
  void Stop(bool goodbye);
  void Receive(std::string frame);

  std::string_view self() const override { return options_.name; }
  std::vector<std::string> peers() const override;
  void Handle(std::string method, Handler handler) override;
  void Ask(std::string_view node, std::string_view method, std::string request,
           absl::Duration deadline, Answer done) override;
  void AskAll(std::string_view method, std::string request, absl::Duration deadline,
              absl::AnyInvocable<void(Answers)> done) override;
  void Tell(std::string_view node, std::string_view method, std::string message) override;
  void Barrier(absl::AnyInvocable<void()> done) override;
  void Watch(PeerWatcher watcher) override { watchers_.push_back(std::move(watcher)); }
  void After(absl::Duration delay, absl::AnyInvocable<void()> task) override;

 private:
  using Clock = std::chrono::steady_clock;
  struct Peer {
    std::uint64_t incarnation = 0;
    std::uint64_t sessions = 0;
    Clock::time_point heard;
  };
  struct Asked {
    std::string node;
    Answer done;
  };
  // A message that comes in parts; those of one node come in order.
  struct Parts {
    std::uint64_t id = 0;
    std::string bytes;
  };

  // On the thread:
  void OnFrame(std::string bytes);
  // False if the frame is of an incarnation that is over.
  bool Hear(const ClusterFrame& frame);
  void OnMessage(ClusterFrame frame);
  void OnQuestion(ClusterFrame frame);
  void OnPart(ClusterFrame frame);
  void Conflict(const ClusterFrame& frame);
  // Runs the barriers up to that one.
  void Pass(std::uint64_t barrier);
  void Go(const std::string& node, bool lost);
  void Tick();
  void ScheduleTick();

  bool Send(std::string_view node, ClusterFrame frame);
  bool SendFrame(std::string_view node, FrameKind kind, std::uint64_t id = 0,
                 std::string word = "-", std::string body = "") {
    return Send(node, {kind, options_.name, incarnation_, id, std::move(word), std::move(body)});
  }
  void Heartbeat(std::string_view node);
  std::optional<Answer> TakeAsked(std::uint64_t id, std::string_view from);
  absl::Status WhyNot(std::string_view node) const;

  const ClusterNodeOptions options_;
  const std::uint64_t incarnation_;
  StringMap<Handler> handlers_;
  std::vector<PeerWatcher> watchers_;

  Mutex barrier_mutex_;  // taken before mutex_
  mutable Mutex mutex_;
  StringMap<Peer> peers_ ABSL_GUARDED_BY(mutex_);
  StringMap<Clock::time_point> lost_ ABSL_GUARDED_BY(mutex_);  // and since when
  std::map<std::uint64_t, Asked> asked_ ABSL_GUARDED_BY(mutex_);
  std::map<std::uint64_t, absl::AnyInvocable<void()>> barriers_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;

  StringMap<Parts> parts_;
  Clock::time_point last_tick_;
  Clock::time_point conflict_told_;
  std::mutex start_mutex_;
  std::condition_variable name_taken_changed_;
  bool name_taken_ = false;
  bool started_ = false;  // the others know of it

  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::steady_timer tick_timer_{io_};
  std::thread thread_;
};

}  // namespace herald
