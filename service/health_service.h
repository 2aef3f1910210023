#pragma once

#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "grpc/health/v1/health.pb.h"
#include "service/executor.h"
#include "service/rpc/sized_request.h"
#include "service/rpc/stream_reactor.h"
#include "service/rpc/unary_call.h"
#include "session/mutex.h"

namespace herald {

class HealthReactor;

// `grpc.health.v1.Health`: whether calls go through, for load balancers, Kubernetes and clients that
// check. gRPC's own service for it works by callbacks, which start the threads that CallThreads does
// without. Open to everybody, as its clients know no tokens. A caller without one gets the status of
// the server as a whole, whichever service it asks for: its request is not read.
//
// Limits:    kMaxWatches at a time; one more gets UNIMPLEMENTED, and its client goes on unchecked.
// Source:    https://github.com/grpc/grpc/blob/master/doc/health-checking.md
// Threads:   any. Outlives the calls.
class HealthService final {
 public:
  static constexpr std::size_t kMaxWatches = 256;

  explicit HealthService(Executor& executor) : executor_(executor) {}

  // What is registered with the server to be built.
  grpc::Service* methods() { return &methods_; }
  // Handles the calls that arrive at `queue` and that `gate` admits; once the server has been built.
  void Serve(CallQueue& queue, const CallGate& gate);

  // The service of this full name, or the server as a whole (empty), serves from now on.
  void AddServing(std::string_view service);
  // Nothing serves any more; watchers are told.
  void StopServing();

 private:
  friend class HealthReactor;
  using Request = grpc::health::v1::HealthCheckRequest;
  using Response = grpc::health::v1::HealthCheckResponse;
  using HealthCall = BidiCall<SizedRequest<Request>, Response>;

  void Check(UnaryCall<Request, Response>& call);
  void Watch(std::unique_ptr<HealthCall> call);
  Response::ServingStatus StatusOf(const std::string& service) const;

  Methods methods_{"grpc.health.v1.Health"};
  Executor& executor_;
  CallRefusals* refusals_ = nullptr;  // set by Serve
  mutable Mutex mutex_;
  absl::flat_hash_map<std::string, Response::ServingStatus> services_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_set<HealthReactor*> reactors_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace herald
