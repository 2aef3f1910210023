#include "service/event_service.h"

#include <algorithm>

#include "fmt/format.h"
#include "service/convert.h"

namespace herald {
namespace {

constexpr std::size_t kEventsAResponse = 256;
constexpr int kPullsATurn = 16;
constexpr std::uint32_t kMaxInFlight = 65'536;
// Of an open watch: gRPC's part and ours.
constexpr std::size_t kOpenBytes = 16 * 1024;
// The memory of calls is looked at again after this.
constexpr absl::Duration kMemoryDelay = absl::Milliseconds(50);
constexpr std::size_t kMaxGroupBytes = 128;
// Of one request: 65,536 ids of events that are in flight, and their numbers may be long.
constexpr std::size_t kMaxRequestBytes = 768 * 1024;

absl::StatusOr<WatchOptions> ParseOpen(const v1::WatchOpen& open) {
  WatchOptions options;
  for (int kind : open.kinds()) {
    if (kind < v1::EVENT_KIND_SESSION_OPENED || kind > v1::EVENT_KIND_NODE_LOST) {
      return absl::InvalidArgumentError(fmt::format("open.kinds: {} is not a kind of event", kind));
    }
    options.filter.kinds |= 1u << kind;
  }
  if (open.topic_patterns_size() > 128)
    return absl::InvalidArgumentError("open.topic_patterns has over 128 entries");
  for (const std::string& text : open.topic_patterns()) {
    absl::StatusOr<TopicPattern> pattern = TopicPattern::Parse(text);
    if (!pattern.ok()) {
      return absl::InvalidArgumentError(
          fmt::format("open.topic_patterns: {}", std::string(pattern.status().message())));
    }
    options.filter.topics.push_back(*std::move(pattern));
  }
  if (open.group().size() > kMaxGroupBytes) {
    return absl::InvalidArgumentError(fmt::format("open.group is over {} bytes", kMaxGroupBytes));
  }
  if (open.max_in_flight() > kMaxInFlight) {
    return absl::InvalidArgumentError(fmt::format("open.max_in_flight is over {}", kMaxInFlight));
  }
  options.group = open.group();
  options.since_event_id = open.since_event_id();
  if (open.max_in_flight() > 0) options.max_in_flight = open.max_in_flight();
  return options;
}

}  // namespace

// One Watch call.
class WatchReactor final : public StreamReactor<EventService::EventCall> {
 public:
  WatchReactor(std::unique_ptr<EventService::EventCall> call, EventService& service,
               ProducerGate producer, const absl::Status& refused)
      : StreamReactor(std::move(call)),
        service_(service),
        producer_(std::move(producer)),
        open_(service.memory_, producer_.call_bytes()),
        unsent_(service.memory_, producer_.call_bytes()) {
    {
      MutexLock lock(service_.mutex_);
      service_.reactors_.insert(this);
    }
    request_.max_bytes = kMaxRequestBytes;
    if (!refused.ok()) {
      End(ToGrpc(refused));
    } else if (!open_.TrySet(kOpenBytes)) {
      Refuse(CallRefusal::kMemory, {grpc::RESOURCE_EXHAUSTED, kNoMemory});
    } else {
      StartFirstRead(&request_);
    }
  }

  // On the executor. What the watcher may get now comes first.
  void EndWhenSent(grpc::Status status) {
    {
      MutexLock lock(mutex_);
      if (ending_ || end_when_sent_) return;
      end_when_sent_ = true;
      status_ = std::move(status);
    }
    Advance();
  }

 private:
  void Refuse(CallRefusal reason, grpc::Status status) {
    service_.refusals_->Add(reason);
    End(std::move(status));
  }

  void OnReadDone(bool ok) override {
    // A client that half-closes has no more to acknowledge, and goes on listening without a group;
    // its end comes with OnCancel.
    if (!ok) {
      bool opened;
      {
        MutexLock lock(mutex_);
        opened = watcher_ != 0;
      }
      if (!opened) End({grpc::INVALID_ARGUMENT, "open must come in the first request"});
      return;
    }
    if (request_.too_long()) {
      return Refuse(CallRefusal::kLongRequest,
                    {grpc::INVALID_ARGUMENT, LongRequest(request_.bytes, request_.max_bytes)});
    }
    absl::Status bad = OnRequest(request_.message);
    if (!bad.ok()) return End(ToGrpc(bad));
    Advance();
    StartRead(&request_);
  }

  void OnWriteDone(bool ok) override {
    {
      MutexLock lock(mutex_);
      writing_ = false;
      unsent_.Set(0);
    }
    if (!ok) return End({grpc::CANCELLED, "the watcher is gone"});
    Advance();
  }

  void OnCancel() override { End({grpc::CANCELLED, "the watcher is gone"}); }

  void OnNoRequest(const grpc::Status& status) override { End(status); }

  void OnDone() override {
    {
      MutexLock lock(service_.mutex_);
      service_.reactors_.erase(this);
    }
    std::uint64_t watcher;
    {
      MutexLock lock(mutex_);
      watcher = watcher_;
    }
    // Waits for a wake under way; what that wake posted runs before the deletion.
    if (watcher != 0) service_.hub_.RemoveWatcher(watcher);
    service_.executor_.Post([this] {
      {
        MutexLock lock(mutex_);
        done_ = true;
        if (waiting_for_memory_) return;  // the wait deletes it
      }
      delete this;
    });
  }

  // Any thread.
  void End(grpc::Status status) {
    {
      MutexLock lock(mutex_);
      if (ending_) return;
      ending_ = true;
      status_ = std::move(status);
    }
    Advance();
  }

  absl::Status OnRequest(const v1::WatchRequest& request) {
    std::uint64_t watcher;
    {
      MutexLock lock(mutex_);
      watcher = watcher_;
    }
    if (request.has_open() != (watcher == 0)) {
      return absl::InvalidArgumentError(watcher == 0 ? "open must come in the first request"
                                                     : "open may stand in the first request only");
    }
    if (watcher != 0) {
      service_.hub_.Acknowledge(watcher, {request.ack_ids().begin(), request.ack_ids().end()});
      return absl::OkStatus();
    }
    absl::StatusOr<WatchOptions> options = ParseOpen(request.open());
    if (!options.ok()) return options.status();
    if (absl::Status gone = producer_.Refresh(); !gone.ok()) return gone;
    if (absl::Status denied = producer_.CheckVerb(Right::kWatch); !denied.ok()) return denied;
    // A group belongs to its producer: another one neither shares its events nor acknowledges them.
    if (!options->group.empty() && !producer_.name().empty())
      options->group = producer_.name() + EventHub::kGroupOf + options->group;
    const std::uint64_t last = service_.hub_.last_event_id();
    absl::StatusOr<std::uint64_t> added = service_.hub_.AddWatcher(
        *std::move(options), [this] { service_.executor_.Post([this] { Advance(); }); });
    if (!added.ok()) return added.status();
    MutexLock lock(mutex_);
    watcher_ = *added;
    opened_.mutable_opened()->set_node(service_.node_);
    opened_.mutable_opened()->set_last_event_id(last);
    return absl::OkStatus();
  }

  // Ends the watch where its rights are not those that it was opened with: nothing more is sent, and
  // what the watcher had not acknowledged waits for its group.
  void EndIfRightsChanged() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (watcher_ == 0 || ending_ || !producer_.Changed()) return;
    const ReachPtr before = producer_.sees();
    absl::Status status = producer_.Refresh();
    if (status.ok()) status = producer_.CheckVerb(Right::kWatch);
    const ReachPtr& now = producer_.sees();
    const bool same = before && now ? *before == *now : before == now;
    if (status.ok() && !same)
      status = absl::UnavailableError("the rights of this producer have changed; watch again");
    if (status.ok()) return;
    ending_ = true;
    status_ = ToGrpc(status);
  }

  void Advance() {
    bool write = false, finish = false;
    grpc::Status status;
    {
      MutexLock lock(mutex_);
      if (finished_) return;
      EndIfRightsChanged();
      if (!ending_ && !writing_ && watcher_ != 0) writing_ = write = Fill();
      if (end_when_sent_ && !writing_) ending_ = true;
      if (ending_ && !writing_) {
        finished_ = finish = true;
        status = status_;
      }
    }
    // Outside the lock: they take tens of microseconds.
    if (write) StartWrite(response_);
    if (finish) Finish(status);
  }

  bool Fill() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    response_.Clear();
    if (opened_.has_opened()) {
      response_.Swap(&opened_);
      return true;
    }
    if (!unsent_.HasRoom()) {
      WaitForMemory();
      return false;
    }
    for (int pulls = 0; pulls < kPullsATurn; ++pulls) {
      const EventHub::Batch batch = service_.hub_.Pull(watcher_, kEventsAResponse);
      if (batch.events.empty() && batch.missed == 0) return false;  // the hub wakes
      Add(batch);
      if (response_.events().empty() && response_.missed() == 0) continue;
      unsent_.Set(batch.bytes);
      return true;
    }
    // Nothing of all that was for this watcher: others have their turn.
    service_.executor_.Post([this] { Advance(); });
    return false;
  }

  // Other calls of the producer, or of others, hold it.
  void WaitForMemory() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (std::exchange(waiting_for_memory_, true)) return;
    unsent_.CountLimited();
    service_.executor_.PostAfter(kMemoryDelay, [this] {
      bool done;
      {
        MutexLock lock(mutex_);
        waiting_for_memory_ = false;
        done = done_;
      }
      done ? delete this : Advance();
    });
  }

  // What this watcher may see goes into the response. Its group has dealt with the rest.
  void Add(const EventHub::Batch& batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const ReachPtr& sees = producer_.sees();
    // How many were missed would tell how much others do.
    response_.set_missed(sees ? std::min<std::uint64_t>(batch.missed, 1) : batch.missed);
    std::vector<std::uint64_t> hidden;
    for (const EventHub::Delivered& delivered : batch.events) {
      if (sees && !MaySee(*sees, *delivered.event)) {
        hidden.push_back(delivered.event->id);
        continue;
      }
      v1::Event& event = *response_.add_events();
      event = ToProto(*delivered.event, delivered.redelivered, service_.node_);
      if (sees && event.has_node_lost()) event.mutable_node_lost()->clear_sessions();
    }
    // Wakes of this watcher are posted, so they do not wait for the lock that is held here.
    if (!hidden.empty()) service_.hub_.Acknowledge(watcher_, hidden);
  }

  static bool MaySee(const Reach& sees, const Event& event) {
    if (event.kind == EventKind::kNodeLost) return true;
    return sees.CoversUser(event.user_id) && (event.topic.empty() || sees.CoversTopic(event.topic));
  }

  EventService& service_;
  ProducerGate producer_;  // before the watch is open of the call's thread, then under the lock
  CallMemory::Hold open_;
  SizedRequest<v1::WatchRequest> request_;
  v1::WatchResponse response_;
  Mutex mutex_;
  CallMemory::Hold unsent_ ABSL_GUARDED_BY(mutex_);  // events in a response that is being sent
  bool waiting_for_memory_ ABSL_GUARDED_BY(mutex_) = false;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;  // the call is over
  v1::WatchResponse opened_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t watcher_ ABSL_GUARDED_BY(mutex_) = 0;  // 0: not opened yet
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  bool end_when_sent_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::Status status_ ABSL_GUARDED_BY(mutex_);
};

void EventService::Serve(CallQueue& queue, const CallGate& gate) {
  refusals_ = &queue.refusals;
  ServeStream(methods_["Watch"], queue, gate, *this, &EventService::Watch);
}

void EventService::Watch(std::unique_ptr<EventCall> call) {
  ProducerGate producer = std::move(call->caller.gate);
  producer.Count(1);
  absl::Status refused = producer.TakeRate(0);
  if (refused.ok()) refused = producer.CheckVerb(Right::kWatch);
  new WatchReactor(std::move(call), *this, std::move(producer), refused);
}

void EventService::Drain() {
  executor_.Post([this] {
    std::vector<WatchReactor*> reactors;
    {
      MutexLock lock(mutex_);
      reactors.assign(reactors_.begin(), reactors_.end());
    }
    for (WatchReactor* reactor : reactors)
      reactor->EndWhenSent({grpc::UNAVAILABLE, "this replica is draining; watch another"});
  });
}

}  // namespace herald
