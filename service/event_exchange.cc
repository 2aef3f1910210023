#include "service/event_exchange.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "service/convert.h"
#include "session/random.h"

namespace herald {
namespace {

constexpr std::string_view kWatch = "watch", kEvents = "events", kAcknowledge = "acknowledge",
                           kUnwatch = "unwatch";
constexpr absl::Duration kOpenFor = absl::Seconds(2);
// Groups' places expire without anybody's doing.
constexpr absl::Duration kSync = absl::Seconds(30);
// Who had to tell of a lost node and is lost within this time may not have.
constexpr absl::Duration kTellAgain = absl::Seconds(15);

EventFilter ToFilter(const internal::v1::OpenWatch& open) {
  EventFilter filter;
  filter.kinds = open.kinds();
  for (const std::string& text : open.topic_patterns()) {
    // Checked at the node that asks.
    if (auto pattern = TopicPattern::Parse(text); pattern.ok())
      filter.topics.push_back(*std::move(pattern));
  }
  return filter;
}

bool Same(const EventFilter& a, const EventFilter& b) {
  return a.kinds == b.kinds && a.topics == b.topics;
}

}  // namespace

EventExchange::EventExchange(Cluster& cluster, EventHub& hub)
    : cluster_(cluster), hub_(hub), next_watch_(RandomUint64() >> 1) {
  using Answer = Cluster::Answer;
  cluster.Handle(std::string(kWatch),
                 [this](std::string_view from, const std::string& request, Answer answer) {
                   OnWatch(from, request, std::move(answer));
                 });
  cluster.Handle(std::string(kEvents),
                 [this](std::string_view from, const std::string& request, Answer answer) {
                   OnPull(from, request, std::move(answer));
                 });
  cluster.Handle(std::string(kAcknowledge),
                 [this](std::string_view from, const std::string& message, const Answer&) {
                   OnAcknowledge(from, message);
                 });
  cluster.Handle(std::string(kUnwatch), [this](std::string_view from, const std::string& message,
                                               const Answer&) { OnUnwatch(from, message); });
  cluster.Watch([this](const Cluster::PeerChange& change) { OnPeer(change); });
  hub.set_on_wanted([this] { cluster_.After(absl::ZeroDuration(), [this] { Sync(); }); });
  hub.set_on_acknowledged([this](const std::string& group, const Event& event) {
    cluster_.After(absl::ZeroDuration(),
                   [this, group, node = event.node, id = event.node_event_id] {
                     Acknowledge(group, node, id);
                   });
  });
  SyncSoon();
}

EventExchange::~EventExchange() {
  hub_.set_on_wanted(nullptr);
  hub_.set_on_acknowledged(nullptr);
  for (const auto& [_, served] : served_) hub_.RemoveWatcher(served.watcher);
}

// --- for the others ---

void EventExchange::OnWatch(std::string_view from, const std::string& request,
                            Cluster::Answer answer) {
  internal::v1::OpenWatch open;
  if (!open.ParseFromString(request))
    return answer(absl::InvalidArgumentError("the watch is not readable"));
  internal::v1::WatchOpened opened;
  if (open.watch() != 0) {
    Served* served = FindServed(from, open.watch());
    if (served == nullptr) return answer(absl::NotFoundError("there is no such watch"));
    hub_.SetWatch(served->watcher, ToFilter(open), open.max_in_flight());
    opened.set_watch(open.watch());
    return answer(opened.SerializeAsString());
  }
  const auto before = std::find_if(served_.begin(), served_.end(), [&](const auto& entry) {
    return entry.second.node == from && entry.second.group == open.group();
  });
  if (before != served_.end()) Drop(before->first);
  WatchOptions options;
  options.filter = ToFilter(open);
  options.group = open.group();
  if (open.max_in_flight() > 0) options.max_in_flight = open.max_in_flight();
  options.remote = true;
  const std::uint64_t watch = next_watch_++;
  const absl::StatusOr<std::uint64_t> watcher = hub_.AddWatcher(std::move(options), [this, watch] {
    cluster_.After(absl::ZeroDuration(), [this, watch] { Serve(watch); });
  });
  if (!watcher.ok()) return answer(watcher.status());
  served_[watch] = {std::string(from), open.group(), *watcher};
  opened.set_watch(watch);
  answer(opened.SerializeAsString());
}

EventExchange::Served* EventExchange::FindServed(std::string_view from, std::uint64_t watch) {
  const auto served = served_.find(watch);
  return served == served_.end() || served->second.node != from ? nullptr : &served->second;
}

void EventExchange::OnPull(std::string_view from, const std::string& request,
                           Cluster::Answer answer) {
  internal::v1::PullEvents pull;
  if (!pull.ParseFromString(request))
    return answer(absl::InvalidArgumentError("the question is not readable"));
  Served* served = FindServed(from, pull.watch());
  if (served == nullptr) return answer(absl::NotFoundError("there is no such watch"));
  hub_.Acknowledge(served->watcher, {pull.acknowledged().begin(), pull.acknowledged().end()});
  if (pull.batch() == served->batch) return answer(served->last);  // was lost on its way
  served->asked = pull.batch();
  served->answer = std::move(answer);
  Serve(pull.watch());
}

void EventExchange::Serve(std::uint64_t watch) {
  const auto it = served_.find(watch);
  if (it == served_.end() || !it->second.answer) return;
  Served& served = it->second;
  const EventHub::Batch pulled = hub_.Pull(served.watcher, kEventsABatch);
  if (pulled.events.empty() && pulled.missed == 0) return;  // the hub wakes
  internal::v1::EventBatch batch;
  batch.set_missed(pulled.missed);
  for (const EventHub::Delivered& delivered : pulled.events)
    *batch.add_events() = ToProto(*delivered.event, delivered.redelivered, cluster_.self());
  served.batch = served.asked;
  served.last = batch.SerializeAsString();
  Cluster::Answer answer = *std::exchange(served.answer, std::nullopt);
  answer(served.last);
}

void EventExchange::OnAcknowledge(std::string_view from, const std::string& message) {
  internal::v1::AcknowledgeEvents acknowledge;
  if (!acknowledge.ParseFromString(message)) return;
  if (Served* served = FindServed(from, acknowledge.watch())) {
    hub_.Acknowledge(served->watcher,
                     {acknowledge.event_ids().begin(), acknowledge.event_ids().end()});
  }
}

void EventExchange::OnUnwatch(std::string_view from, const std::string& message) {
  internal::v1::CloseWatch close;
  if (close.ParseFromString(message) && FindServed(from, close.watch()) != nullptr)
    Drop(close.watch());
}

void EventExchange::Drop(std::uint64_t watch) {
  const std::uint64_t watcher = served_.at(watch).watcher;
  served_.erase(watch);
  hub_.RemoveWatcher(watcher);
}

// --- from the others ---

void EventExchange::SyncSoon() {
  cluster_.After(kSync, [this] {
    Sync();
    SyncSoon();
  });
}

void EventExchange::Sync() {
  const EventHub::Wanted wanted = hub_.wanted();
  const std::vector<std::string> peers = cluster_.peers();
  std::vector<ImportPtr> unwanted;
  for (const auto& [key, import] : imports_) {
    const bool is_wanted = key.second.empty() ? wanted.all : wanted.groups.contains(key.second);
    if (!is_wanted) unwanted.push_back(import);
  }
  for (const ImportPtr& import : unwanted) Close(import);
  for (const std::string& node : peers) {
    if (wanted.all) Want(node, "", {}, 0);
    for (const auto& [group, want] : wanted.groups)
      Want(node, group, want.filter, want.max_in_flight);
  }
}

void EventExchange::Want(const std::string& node, const std::string& group,
                         const EventFilter& filter, std::uint32_t max_in_flight) {
  ImportPtr& import = imports_[{node, group}];
  if (!import) {
    import = std::make_shared<Import>();
    import->node = node;
    import->group = group;
    import->filter = filter;
    import->max_in_flight = max_in_flight;
    return Open(import);
  }
  if (Same(import->filter, filter) && import->max_in_flight == max_in_flight) return;
  import->filter = filter;
  import->max_in_flight = max_in_flight;
  // If it is not open yet, this is how it opens.
  if (import->watch != 0) Open(import);
}

void EventExchange::Close(const ImportPtr& import) {
  import->closed = true;
  if (import->watch != 0) {
    internal::v1::CloseWatch close;
    close.set_watch(import->watch);
    cluster_.Tell(import->node, kUnwatch, close.SerializeAsString());
  }
  if (!import->group.empty()) hub_.DropImported(import->group, import->node);
  imports_.erase({import->node, import->group});
}

void EventExchange::Open(const ImportPtr& import) {
  internal::v1::OpenWatch open;
  open.set_group(import->group);
  open.set_kinds(import->filter.kinds);
  for (const TopicPattern& pattern : import->filter.topics) open.add_topic_patterns(pattern.text());
  open.set_max_in_flight(import->max_in_flight);
  open.set_watch(import->watch);
  cluster_.Ask(import->node, kWatch, open.SerializeAsString(), kOpenFor,
               [this, import, asked = import->watch](absl::StatusOr<std::string> answer) {
                 internal::v1::WatchOpened opened;
                 const bool good = answer.ok() && opened.ParseFromString(*answer);
                 if (import->closed) {
                   // Closed while it opened.
                   if (!good || asked != 0) return;
                   internal::v1::CloseWatch close;
                   close.set_watch(opened.watch());
                   return cluster_.Tell(import->node, kUnwatch, close.SerializeAsString());
                 }
                 if (import->watch != asked) return;
                 // A change that came to nothing comes again with the next question's NOT_FOUND, or
                 // with the next change.
                 if (asked != 0) return;
                 if (!good) return Retry(import);
                 import->watch = opened.watch();
                 import->next_batch = 1;
                 import->acknowledged.clear();
                 Pull(import);
               });
}

void EventExchange::Retry(const ImportPtr& import) {
  cluster_.After(kRetry, [this, import] {
    if (import->closed) return;
    if (import->watch == 0) {
      Open(import);
    } else {
      Pull(import);
    }
  });
}

void EventExchange::Pull(const ImportPtr& import) {
  internal::v1::PullEvents pull;
  pull.set_watch(import->watch);
  pull.set_batch(import->next_batch);
  for (std::uint64_t id : import->acknowledged) pull.add_acknowledged(id);
  cluster_.Ask(
      import->node, kEvents, pull.SerializeAsString(), kPullFor,
      [this, import, acknowledged = import->acknowledged.size()](
          const absl::StatusOr<std::string>& answer) { OnBatch(import, acknowledged, answer); });
}

void EventExchange::OnBatch(const ImportPtr& import, std::size_t acknowledged,
                            const absl::StatusOr<std::string>& answer) {
  if (import->closed) return;
  internal::v1::EventBatch batch;
  if (answer.ok() && batch.ParseFromString(*answer)) {
    ++import->next_batch;
    import->acknowledged.erase(
        import->acknowledged.begin(),
        import->acknowledged.begin() + static_cast<std::ptrdiff_t>(acknowledged));
    hub_.ImportMissed(import->group, batch.missed());
    for (v1::Event& event : *batch.mutable_events()) {
      const bool redelivered = event.redelivered();
      hub_.Import(ToEvent(event), import->group, redelivered);
    }
    return Pull(import);
  }
  if (absl::IsDeadlineExceeded(answer.status())) return Pull(import);  // nothing happened
  if (absl::IsNotFound(answer.status())) {
    // It has restarted, or had lost sight of this node: what was out has gone to others.
    import->watch = 0;
    hub_.DropImported(import->group, import->node);
  }
  Retry(import);
}

void EventExchange::Acknowledge(const std::string& group, const std::string& node,
                                std::uint64_t event_id) {
  const auto import = imports_.find({node, group});
  if (import == imports_.end() || import->second->watch == 0) return;
  // At once, since the window may be full; and again with the next question, since this may be lost.
  import->second->acknowledged.push_back(event_id);
  internal::v1::AcknowledgeEvents acknowledge;
  acknowledge.set_watch(import->second->watch);
  acknowledge.add_event_ids(event_id);
  cluster_.Tell(node, kAcknowledge, acknowledge.SerializeAsString());
}

// --- nodes ---

void EventExchange::OnPeer(const Cluster::PeerChange& change) {
  if (change.here) return Sync();
  std::vector<std::uint64_t> watches;
  for (const auto& [watch, served] : served_) {
    if (served.node == change.node) watches.push_back(watch);
  }
  for (const std::uint64_t watch : watches) Drop(watch);
  // What had come of its events stays: nobody else has them now.
  std::erase_if(imports_, [&](const auto& entry) {
    if (entry.first.first != change.node) return false;
    entry.second->closed = true;
    return true;
  });
  if (!change.lost) return;
  TellLost(change.node, change.sessions);
  const absl::Time since = absl::Now() - kTellAgain;
  std::erase_if(lost_, [&](const Lost& lost) { return lost.at < since; });
  const std::vector<Lost> untold = lost_;
  for (const Lost& lost : untold) {
    if (lost.teller == change.node) TellLost(lost.node, lost.sessions);
  }
}

void EventExchange::TellLost(const std::string& node, std::uint64_t sessions) {
  std::string teller(cluster_.self());
  for (const std::string& peer : cluster_.peers()) teller = std::min(teller, peer);
  std::erase_if(lost_, [&](const Lost& lost) { return lost.node == node; });
  lost_.push_back({node, teller, sessions, absl::Now()});
  if (teller != cluster_.self()) return;
  Event event;
  event.kind = EventKind::kNodeLost;
  event.time = absl::Now();
  event.lost_node = node;
  event.lost_sessions = sessions;
  hub_.Publish(std::move(event));
}

}  // namespace herald
