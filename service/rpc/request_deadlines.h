#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>

#include <boost/intrusive/list.hpp>

#include "absl/time/time.h"
#include "service/rpc/call_refusals.h"
#include "service/rpc/completion.h"

namespace herald {

// A call whose headers are admitted and whose request is not complete yet.
class AwaitedRequest : public boost::intrusive::list_base_hook<> {
 public:
  // The request took too long. On the thread of the call; the entry is already removed.
  virtual void OnLate() = 0;

 protected:
  ~AwaitedRequest() = default;

 private:
  friend class RequestDeadlines;
  absl::Time deadline_;
};

// The deadlines of all requests that one completion queue waits for.
//
// They are all of the same length, so the list is in the order of the deadlines, and one timer for
// its first entry is enough: a call pays for two list operations and no timer of its own.
//
// Threads:   the thread of the queue only, but for Stop.
class RequestDeadlines final : private Completion {
 public:
  // Counts late requests in `refusals`.
  RequestDeadlines(grpc::CompletionQueue& queue, absl::Duration timeout, CallRefusals& refusals)
      : queue_(queue), timeout_(timeout), refusals_(refusals) {}

  void Add(AwaitedRequest& request);
  // The request of an entry that was added is there, or its call has broken.
  void Remove(AwaitedRequest& request);
  // Before the queue is shut down, when all calls have ended. Any thread.
  void Stop() { alarm_.Cancel(); }

 private:
  void Complete(bool ok) override;
  void Arm();

  grpc::CompletionQueue& queue_;
  const absl::Duration timeout_;
  CallRefusals& refusals_;
  grpc::Alarm alarm_;
  bool armed_ = false;
  boost::intrusive::list<AwaitedRequest> requests_;  // the earliest deadline first
};

}  // namespace herald
