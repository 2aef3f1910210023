#pragma once

#include <string>

#include "absl/container/flat_hash_set.h"
#include "herald/v1/event_service.pb.h"
#include "service/call_memory.h"
#include "service/executor.h"
#include "service/producer_gate.h"
#include "service/rpc/sized_request.h"
#include "service/rpc/stream_reactor.h"
#include "session/event_hub.h"
#include "session/mutex.h"

namespace herald {

class WatchReactor;

// `EventService` over gRPC: pulls from the EventHub as fast as the watcher reads.
//
// Rights:    a watch needs `watch`, and shows events whose user and topic the producer's patterns
//            allow. A group belongs to its producer. When what it may see changes, it ends with
//            UNAVAILABLE before its next event.
// Memory:    of a watch and of the events that it has not sent counts in CallMemory. Where there is
//            none, new watches are refused, and no events are pulled.
// Threads:   those of calls (service/rpc/call_threads.h). Outlives them.
class EventService final {
 public:
  EventService(EventHub& hub, std::string node, Executor& executor, CallMemory& memory)
      : hub_(hub), node_(std::move(node)), executor_(executor), memory_(memory) {}

  // What is registered with the server to be built.
  grpc::Service* methods() { return &methods_; }
  // Handles the calls that arrive at `queue` and that `gate` admits; once the server has been built.
  void Serve(CallQueue& queue, const CallGate& gate);

  // Ends all watches with UNAVAILABLE, once each has been sent what there is. What they had not
  // acknowledged is lost with this replica.
  void Drain();
  std::size_t watches() const {
    MutexLock lock(mutex_);
    return reactors_.size();
  }

 private:
  friend class WatchReactor;
  using EventCall = BidiCall<SizedRequest<v1::WatchRequest>, v1::WatchResponse>;
  void Watch(std::unique_ptr<EventCall> call);

  Methods methods_{"herald.v1.EventService"};
  EventHub& hub_;
  const std::string node_;
  Executor& executor_;
  CallMemory& memory_;
  CallRefusals* refusals_ = nullptr;  // once it serves
  mutable Mutex mutex_;
  absl::flat_hash_set<WatchReactor*> reactors_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace herald
