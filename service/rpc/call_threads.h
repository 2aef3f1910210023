#pragma once

#include <grpcpp/completion_queue.h>
#include <grpcpp/server_builder.h>

#include <memory>
#include <thread>
#include <vector>

namespace herald {

// One outstanding operation of gRPC: the tag by which a completion queue gives it back. Its owner
// keeps it until then.
class Completion {
 public:
  // On the thread of the call. What `ok` means is told at grpc::CompletionQueue::Next.
  virtual void Complete(bool ok) = 0;
  void* tag() { return this; }

 protected:
  ~Completion() = default;
};

// A completion that calls a member of its owner.
template <typename Owner>
class CompletionOf final : public Completion {
 public:
  CompletionOf(Owner& owner, void (Owner::*complete)(bool)) : owner_(owner), complete_(complete) {}
  void Complete(bool ok) override { (owner_.*complete_)(ok); }

 private:
  Owner& owner_;
  void (Owner::* const complete_)(bool);
};

// The threads on which gRPC reads, and calls are told what has happened to them: one for each
// completion queue, so that one call is never told two things at once.
//
// Completion queues, and not gRPC's callbacks: those run on two threads at least, which hand over
// to each other what each message needs, and a small request costs half without that
// (docs/decisions/0016).
class CallThreads {
 public:
  // Adds `count` queues to the server to be built.
  CallThreads(grpc::ServerBuilder& builder, int count);
  // After the server's Shutdown has returned, or if it was not built.
  ~CallThreads();

  CallThreads(const CallThreads&) = delete;
  CallThreads& operator=(const CallThreads&) = delete;

  using Queues = std::vector<std::unique_ptr<grpc::ServerCompletionQueue>>;
  // Where services ask for calls. Each asks at every queue.
  const Queues& queues() const { return queues_; }
  // Once the server has been built and the first calls have been asked for.
  void Start();

 private:
  Queues queues_;
  std::vector<std::thread> threads_;
};

// Where calls of one method are asked for, and who gets them. `ask` is the generated member of
// `async`, the AsyncService, and `handle` a member of `service`.
template <typename Async, typename Ask, typename Service, typename Handle>
struct AwaitedMethod {
  Async& async;
  Service& service;
  grpc::ServerCompletionQueue& queue;
  Ask ask;
  Handle handle;
};

}  // namespace herald
