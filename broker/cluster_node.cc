#include "broker/cluster_node.h"

#include <boost/asio/post.hpp>
#include <charconv>

#include "absl/time/clock.h"
#include "fmt/format.h"
#include "session/random.h"

namespace herald {
namespace {

constexpr absl::Duration kBarrier = absl::Seconds(2);

std::chrono::nanoseconds ToChrono(absl::Duration duration) {
  return absl::ToChronoNanoseconds(duration);
}

// Microseconds of the start, and some bits that tell two starts of one microsecond apart.
std::uint64_t NewIncarnation() {
  return static_cast<std::uint64_t>(absl::ToUnixMicros(absl::Now())) << 10 |
         (RandomUint64() & 0x3ff);
}

std::uint64_t NumberOr0(std::string_view text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

ClusterNode::ClusterNode(ClusterNodeOptions options)
    : options_(std::move(options)),
      incarnation_(NewIncarnation()),
      work_(boost::asio::make_work_guard(io_)) {}

absl::Status ClusterNode::Start() {
  thread_ = std::thread([this] { io_.run(); });
  SendFrame("", FrameKind::kWho, incarnation_, options_.name);
  {
    std::unique_lock lock(start_mutex_);
    if (name_taken_changed_.wait_for(lock, ToChrono(options_.name_check),
                                     [&] { return name_taken_; })) {
      return absl::AlreadyExistsError(fmt::format(
          "a live replica has the name {} (node_name): each needs one of its own", options_.name));
    }
  }
  started_ = true;
  SendFrame("", FrameKind::kNew, 0, std::to_string(options_.sessions()));
  boost::asio::post(io_, [this] {
    last_tick_ = Clock::now();
    ScheduleTick();
  });
  return absl::OkStatus();
}

void ClusterNode::Stop(bool goodbye) {
  if (!thread_.joinable()) return;
  if (goodbye && started_) SendFrame("", FrameKind::kBye);
  {
    MutexLock lock(mutex_);
    stopped_ = true;
  }
  io_.stop();
  thread_.join();
}

void ClusterNode::Receive(std::string frame) {
  boost::asio::post(io_, [this, frame = std::move(frame)]() mutable { OnFrame(std::move(frame)); });
}

std::vector<std::string> ClusterNode::peers() const {
  MutexLock lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, _] : peers_) names.push_back(name);
  return names;
}

void ClusterNode::Handle(std::string method, Handler handler) {
  handlers_[std::move(method)] = std::move(handler);
}

absl::Status ClusterNode::WhyNot(std::string_view node) const {
  MutexLock lock(mutex_);
  if (peers_.contains(node)) return absl::OkStatus();
  if (lost_.contains(node)) {
    return absl::UnavailableError(fmt::format("node {} has not been heard of for some time", node));
  }
  return absl::NotFoundError(fmt::format("there is no node {}", node));
}

void ClusterNode::Ask(std::string_view node, std::string_view method, std::string request,
                      absl::Duration deadline, Answer done) {
  absl::Status why = WhyNot(node);
  if (why.ok() && request.size() > kMaxMessageBytes)
    why = absl::OutOfRangeError("the message is too long to be sent to another node");
  if (!why.ok()) return done(std::move(why));
  std::uint64_t id;
  {
    MutexLock lock(mutex_);
    if (stopped_) return;
    id = next_id_++;
    asked_[id] = {std::string(node), std::move(done)};
  }
  if (!SendFrame(node, FrameKind::kQuestion, id, std::string(method), std::move(request))) {
    if (auto answer = TakeAsked(id, node))
      (*answer)(absl::UnavailableError("the other nodes cannot be reached now"));
    return;
  }
  After(deadline, [this, id, node = std::string(node)] {
    if (auto answer = TakeAsked(id, node))
      (*answer)(absl::DeadlineExceededError(fmt::format("node {} did not answer", node)));
  });
}

void ClusterNode::AskAll(std::string_view method, std::string request, absl::Duration deadline,
                         absl::AnyInvocable<void(Answers)> done) {
  struct Gathering {
    Mutex mutex;
    std::size_t awaited ABSL_GUARDED_BY(mutex) = 1;
    Answers answers ABSL_GUARDED_BY(mutex);
    absl::AnyInvocable<void(Answers)> done;

    void Answer() {
      Answers all;
      {
        MutexLock lock(mutex);
        if (--awaited > 0) return;
        all = std::move(answers);
      }
      done(std::move(all));
    }
  };
  auto gathering = std::make_shared<Gathering>();
  gathering->done = std::move(done);
  std::vector<std::string> nodes;
  {
    MutexLock lock(mutex_);
    const auto recently = Clock::now() - ToChrono(kLostLately);
    MutexLock other(gathering->mutex);
    for (const auto& [name, _] : peers_) nodes.push_back(name);
    for (const auto& [name, since] : lost_) {
      if (since > recently) gathering->answers.lost.push_back(name);
    }
    gathering->awaited += nodes.size();
  }
  for (const std::string& node : nodes) {
    Ask(node, method, request, deadline, [gathering, node](absl::StatusOr<std::string> answer) {
      {
        MutexLock lock(gathering->mutex);
        if (answer.ok()) {
          gathering->answers.by_node.emplace_back(node, *std::move(answer));
        } else {
          gathering->answers.unanswered.push_back(node);
        }
      }
      gathering->Answer();
    });
  }
  gathering->Answer();
}

void ClusterNode::Tell(std::string_view node, std::string_view method, std::string message) {
  if (!node.empty()) {
    SendFrame(node, FrameKind::kTell, 0, std::string(method), std::move(message));
    return;
  }
  // One by one, so that it keeps its order among what goes to each.
  for (const std::string& peer : peers())
    SendFrame(peer, FrameKind::kTell, 0, std::string(method), message);
}

void ClusterNode::Barrier(absl::AnyInvocable<void()> done) {
  std::uint64_t id;
  {
    // Held while it is sent, so that barriers come back in their order.
    MutexLock sending(barrier_mutex_);
    {
      MutexLock lock(mutex_);
      if (stopped_) return;
      id = next_id_++;
      barriers_[id] = std::move(done);
    }
    if (!SendFrame(options_.name, FrameKind::kEcho, id)) {
      boost::asio::post(io_, [this, id] { Pass(id); });
      return;
    }
  }
  After(kBarrier, [this, id] { Pass(id); });
}

void ClusterNode::Pass(std::uint64_t barrier) {
  while (true) {
    absl::AnyInvocable<void()> done;
    {
      MutexLock lock(mutex_);
      if (barriers_.empty() || barriers_.begin()->first > barrier) return;
      done = std::move(barriers_.begin()->second);
      barriers_.erase(barriers_.begin());
    }
    done();
  }
}

void ClusterNode::After(absl::Duration delay, absl::AnyInvocable<void()> task) {
  auto timer = std::make_shared<boost::asio::steady_timer>(io_);
  timer->expires_after(ToChrono(delay));
  timer->async_wait([timer, task = std::move(task)](boost::system::error_code error) mutable {
    if (!error) task();
  });
}

bool ClusterNode::Send(std::string_view node, ClusterFrame frame) {
  std::string bytes = frame.Encode();
  if (bytes.size() <= options_.max_frame_bytes) return options_.send(node, std::move(bytes));
  std::uint64_t id;
  {
    MutexLock lock(mutex_);
    id = next_id_++;
  }
  for (std::size_t at = 0; at < bytes.size(); at += options_.max_frame_bytes) {
    const bool last = at + options_.max_frame_bytes >= bytes.size();
    const ClusterFrame part{FrameKind::kPart,       options_.name,
                            incarnation_,           id,
                            last ? "last" : "more", bytes.substr(at, options_.max_frame_bytes)};
    if (!options_.send(node, part.Encode())) return false;
  }
  return true;
}

void ClusterNode::Heartbeat(std::string_view node) {
  SendFrame(node, FrameKind::kHeartbeat, 0, std::to_string(options_.sessions()));
}

std::optional<Cluster::Answer> ClusterNode::TakeAsked(std::uint64_t id, std::string_view from) {
  MutexLock lock(mutex_);
  auto it = asked_.find(id);
  if (it == asked_.end() || it->second.node != from) return std::nullopt;
  Answer done = std::move(it->second.done);
  asked_.erase(it);
  return done;
}

void ClusterNode::OnFrame(std::string bytes) {
  std::optional<ClusterFrame> frame = ClusterFrame::Decode(std::move(bytes));
  if (!frame) return;
  if (frame->from == options_.name) {
    if (frame->incarnation != incarnation_) {
      Conflict(*frame);
    } else if (frame->kind == FrameKind::kEcho) {
      Pass(frame->id);
    }
    return;
  }
  if (frame->kind == FrameKind::kWho) return;
  if (!Hear(*frame)) return;
  if (frame->kind == FrameKind::kPart) {
    OnPart(*std::move(frame));
  } else {
    OnMessage(*std::move(frame));
  }
}

void ClusterNode::Conflict(const ClusterFrame& frame) {
  if (frame.kind == FrameKind::kWho) {
    SendFrame("", FrameKind::kItsMe, frame.id);
    return;
  }
  if (frame.kind == FrameKind::kItsMe && frame.id == incarnation_) {
    {
      std::lock_guard lock(start_mutex_);
      name_taken_ = true;
    }
    name_taken_changed_.notify_all();
    return;
  }
  const auto now = Clock::now();
  if (now - conflict_told_ < std::chrono::seconds(10)) return;
  conflict_told_ = now;
  options_.on_conflict(fmt::format(
      "another live replica has the name {} (node_name): end one of them", options_.name));
}

bool ClusterNode::Hear(const ClusterFrame& frame) {
  bool is_new = false, restarted = false;
  {
    MutexLock lock(mutex_);
    const auto known = peers_.find(frame.from);
    is_new = known == peers_.end();
    if (!is_new && frame.incarnation < known->second.incarnation) return false;
    restarted = !is_new && frame.incarnation > known->second.incarnation;
  }
  if (frame.kind == FrameKind::kBye) {
    if (!is_new && !restarted) Go(frame.from, /*lost=*/false);
    return false;
  }
  if (restarted) Go(frame.from, /*lost=*/true);
  {
    MutexLock lock(mutex_);
    lost_.erase(frame.from);
    Peer& peer = peers_[frame.from];
    peer.incarnation = frame.incarnation;
    peer.heard = Clock::now();
    if (frame.kind == FrameKind::kHeartbeat || frame.kind == FrameKind::kNew)
      peer.sessions = NumberOr0(frame.word);
  }
  if (frame.kind == FrameKind::kNew) Heartbeat(frame.from);
  if (is_new || restarted) {
    for (const PeerWatcher& watcher : watchers_) watcher({frame.from, true, false, 0});
  }
  return true;
}

void ClusterNode::Go(const std::string& node, bool lost) {
  std::vector<Answer> unanswered;
  std::uint64_t sessions = 0;
  {
    MutexLock lock(mutex_);
    auto peer = peers_.find(node);
    sessions = peer->second.sessions;
    peers_.erase(peer);
    if (lost) lost_[node] = Clock::now();
    for (auto it = asked_.begin(); it != asked_.end();) {
      if (it->second.node == node) {
        unanswered.push_back(std::move(it->second.done));
        it = asked_.erase(it);
      } else {
        ++it;
      }
    }
  }
  parts_.erase(node);
  for (Answer& done : unanswered)
    done(absl::UnavailableError(fmt::format("node {} went before it answered", node)));
  for (const PeerWatcher& watcher : watchers_) watcher({node, false, lost, sessions});
}

void ClusterNode::OnMessage(ClusterFrame frame) {
  switch (frame.kind) {
    case FrameKind::kQuestion:
      return OnQuestion(std::move(frame));
    case FrameKind::kTell: {
      auto handler = handlers_.find(frame.word);
      if (handler == handlers_.end()) return;
      return handler->second(frame.from, std::move(frame.body), [](absl::StatusOr<std::string>) {});
    }
    case FrameKind::kAnswer:
      if (auto done = TakeAsked(frame.id, frame.from)) (*done)(std::move(frame.body));
      return;
    case FrameKind::kError:
      if (auto done = TakeAsked(frame.id, frame.from)) {
        const auto code = static_cast<absl::StatusCode>(NumberOr0(frame.word));
        // Whatever the sender meant, it is an error.
        (*done)(absl::Status(code == absl::StatusCode::kOk ? absl::StatusCode::kUnknown : code,
                             frame.body));
      }
      return;
    default:
      return;  // was only to be heard, or is of a later version
  }
}

void ClusterNode::OnQuestion(ClusterFrame frame) {
  const auto answer = [this, from = frame.from, id = frame.id](absl::StatusOr<std::string> result) {
    if (result.ok() && result->size() > kMaxMessageBytes)
      result = absl::OutOfRangeError("the answer is too long to be sent to another node");
    if (result.ok()) {
      SendFrame(from, FrameKind::kAnswer, id, "-", *std::move(result));
    } else {
      SendFrame(from, FrameKind::kError, id,
                std::to_string(static_cast<int>(result.status().code())),
                std::string(result.status().message()));
    }
  };
  auto handler = handlers_.find(frame.word);
  if (handler == handlers_.end()) {
    return answer(absl::UnimplementedError(fmt::format(
        "node {} does not know {}: it runs another version", options_.name, frame.word)));
  }
  handler->second(frame.from, std::move(frame.body), answer);
}

void ClusterNode::OnPart(ClusterFrame frame) {
  Parts& parts = parts_[frame.from];
  if (parts.id != frame.id) parts = {frame.id, ""};
  parts.bytes += frame.body;
  const bool whole = frame.word == "last";
  if (!whole && parts.bytes.size() <= kMaxMessageBytes + 4096) return;
  std::string bytes = std::move(parts.bytes);
  parts_.erase(frame.from);
  if (!whole) return;
  std::optional<ClusterFrame> inner = ClusterFrame::Decode(std::move(bytes));
  if (inner && inner->from == frame.from && inner->incarnation == frame.incarnation &&
      inner->kind != FrameKind::kPart)
    OnMessage(*std::move(inner));
}

void ClusterNode::ScheduleTick() {
  tick_timer_.expires_after(ToChrono(options_.heartbeat));
  tick_timer_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    Tick();
    ScheduleTick();
  });
}

void ClusterNode::Tick() {
  Heartbeat("");
  const auto now = Clock::now();
  const auto missed = now - last_tick_ - ToChrono(options_.heartbeat);
  last_tick_ = now;
  const bool deaf = !options_.connected();
  std::vector<std::string> silent;
  {
    MutexLock lock(mutex_);
    for (auto& [name, peer] : peers_) {
      // What this node slept, or could not hear, is not the others' silence.
      if (deaf) {
        peer.heard = now;
      } else if (missed > ToChrono(options_.heartbeat)) {
        peer.heard = std::min(now, peer.heard + missed);
      }
      if (now - peer.heard > ToChrono(options_.lost_after)) silent.push_back(name);
    }
    absl::erase_if(lost_,
                   [&](const auto& entry) { return now - entry.second > ToChrono(kLostFor); });
  }
  for (const std::string& name : silent) Go(name, /*lost=*/true);
}

}  // namespace herald
