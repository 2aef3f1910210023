#pragma once

#include <grpcpp/completion_queue.h>
#include <grpcpp/server_builder.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "service/call_memory.h"
#include "service/rpc/caller.h"
#include "service/rpc/completion.h"
#include "service/rpc/methods.h"
#include "service/rpc/request_deadlines.h"

namespace herald {

// What calls are held to. Outlives them.
struct CallLimits {
  absl::Duration request_timeout;  // from the headers of a call until its request is complete
  CallMemory& memory;              // of the calls of producers
  CallMemory& strangers;           // of those of callers that have proved nothing
  std::atomic<std::size_t> max_request_bytes;  // of a unary call
};

// One completion queue of the server, with what its thread needs for calls.
struct CallQueue {
  CallQueue(std::unique_ptr<grpc::ServerCompletionQueue> queue, const CallLimits& limits,
            CallRefusals& refusals)
      : queue(std::move(queue)),
        limits(limits),
        refusals(refusals),
        deadlines(*this->queue, limits.request_timeout, refusals) {}

  const std::unique_ptr<grpc::ServerCompletionQueue> queue;
  const CallLimits& limits;
  CallRefusals& refusals;
  RequestDeadlines deadlines;
};

// The threads on which gRPC reads and on which calls are completed: one for each completion queue,
// so a call never has two completions at once.
//
// Completion queues, and not gRPC's callbacks: those run on two threads at least, which hand over
// to each other what each message needs, and a small request costs half without that
// (docs/decisions/0016).
class CallThreads {
 public:
  // Adds `count` queues to the server to be built. `limits` outlives this.
  CallThreads(grpc::ServerBuilder& builder, int count, const CallLimits& limits);
  // After the server's Shutdown has returned, or if it was not built.
  ~CallThreads();

  CallThreads(const CallThreads&) = delete;
  CallThreads& operator=(const CallThreads&) = delete;

  using Queues = std::vector<std::unique_ptr<CallQueue>>;
  // Where services ask for calls. Each asks at every queue.
  const Queues& queues() const { return queues_; }
  CallRefusals::Totals refusals() const { return refusals_.Read(); }
  // Once the server has been built and the first calls have been asked for.
  void Start();

 private:
  CallRefusals refusals_;
  Queues queues_;
  std::vector<std::thread> threads_;
};

// The calls of `method` that arrive at `queue`: `gate` decides by their headers, and `handle`, a
// member of `service`, gets those that are admitted. All of it outlives the calls.
template <typename Service, typename Call>
struct Route {
  Method method;
  CallQueue& queue;
  const CallGate& gate;
  Service& service;
  void (Service::*handle)(Call);
};

}  // namespace herald
