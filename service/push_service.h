#pragma once

#include <atomic>
#include <functional>

#include "absl/container/flat_hash_set.h"
#include "herald/v1/push_service.pb.h"
#include "service/command_runner.h"
#include "service/executor.h"
#include "service/idempotency.h"
#include "service/producer_moves.h"
#include "service/rpc/stream_reactor.h"
#include "service/rpc/unary_call.h"
#include "service/stream_places.h"
#include "session/mutex.h"

namespace herald {

class PushReactor;

// `PushService` over gRPC: translates and posts; what commands mean is CommandRunner's and
// PushStream's.
//
// Threads:   those of calls (service/rpc/call_threads.h). Outlives them.
class PushService final {
 public:
  struct Options {
    std::size_t max_streams = 1024;
    std::size_t max_in_flight = 4096;
    // How old a stream grows before it is told to move (0: as old as it likes), and how long it
    // then has.
    absl::Duration max_age = absl::ZeroDuration();
    absl::Duration age_grace = absl::ZeroDuration();
    ProducerMoves* moves = nullptr;  // null: there are no other nodes
  };
  PushService(CommandRunner& runner, Idempotency& idempotency,
              std::vector<std::unique_ptr<Shard>>& shards, Executor& executor, CallMemory& memory,
              Options options)
      : runner_(runner),
        idempotency_(idempotency),
        shards_(shards),
        executor_(executor),
        memory_(memory),
        options_(options),
        max_streams_(options.max_streams),
        max_in_flight_(options.max_in_flight) {}

  // What is registered with the server to be built.
  grpc::Service* methods() { return &methods_; }
  // Handles the calls that arrive at `queue` and that `gate` admits; once the server has been built.
  void Serve(CallQueue& queue, const CallGate& gate);

  // For streams that come from now on.
  void SetLimits(std::size_t max_streams, std::size_t max_in_flight) {
    max_streams_ = max_streams;
    max_in_flight_ = max_in_flight;
  }
  // Tells all streams that they end in `within`; new ones are refused.
  void Announce(absl::Duration within);
  // Streams read no more; each ends with UNAVAILABLE once its results are written.
  void Drain();
  // Tells streams that are old enough to move, and ends those that did not. To be called once a
  // second.
  void Age(absl::Time now);
  // Those that were not refused.
  std::size_t streams() const { return places_.open(); }

 private:
  friend class PushReactor;
  using PushCall = BidiCall<grpc::ByteBuffer, v1::PushResponse>;
  void Push(std::unique_ptr<PushCall> call);
  void Send(UnaryCall<v1::SendRequest, v1::SendResponse>& call);
  void Broadcast(UnaryCall<v1::BroadcastRequest, v1::BroadcastResponse>& call);
  // On the executor.
  void ForEach(std::function<void(PushReactor&)> action);

  Methods methods_{"herald.v1.PushService"};
  CommandRunner& runner_;
  Idempotency& idempotency_;
  std::vector<std::unique_ptr<Shard>>& shards_;
  Executor& executor_;
  CallMemory& memory_;
  const Options options_;
  std::atomic<std::size_t> max_streams_;
  std::atomic<std::size_t> max_in_flight_;
  StreamPlaces places_;
  std::atomic<bool> moving_{false};
  Mutex mutex_;
  absl::flat_hash_set<PushReactor*> reactors_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace herald
