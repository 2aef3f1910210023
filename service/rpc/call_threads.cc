#include "service/rpc/call_threads.h"

namespace herald {
namespace {

void Run(grpc::ServerCompletionQueue& queue) {
  void* tag = nullptr;
  bool ok = false;
  while (queue.Next(&tag, &ok)) static_cast<Completion*>(tag)->Complete(ok);
}

}  // namespace

CallThreads::CallThreads(grpc::ServerBuilder& builder, int count, const CallLimits& limits) {
  for (int i = 0; i < count; ++i) {
    queues_.push_back(std::make_unique<CallQueue>(builder.AddCompletionQueue(), limits, refusals_));
  }
}

void CallThreads::Start() {
  for (const auto& queue : queues_)
    threads_.emplace_back([raw = queue->queue.get()] { Run(*raw); });
}

CallThreads::~CallThreads() {
  for (const auto& queue : queues_) {
    queue->deadlines.Stop();
    queue->queue->Shutdown();
  }
  for (std::thread& thread : threads_) thread.join();
  // Queues that never had a thread must be emptied too.
  for (const auto& queue : queues_) Run(*queue->queue);
}

}  // namespace herald
