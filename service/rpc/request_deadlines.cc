#include "service/rpc/request_deadlines.h"

#include "absl/time/clock.h"

namespace herald {

void RequestDeadlines::Add(AwaitedRequest& request) {
  request.deadline_ = absl::Now() + timeout_;
  requests_.push_back(request);
  Arm();
}

void RequestDeadlines::Remove(AwaitedRequest& request) {
  if (request.is_linked()) requests_.erase(requests_.iterator_to(request));
}

void RequestDeadlines::Complete(bool ok) {
  armed_ = false;
  const absl::Time now = absl::Now();
  while (ok && !requests_.empty() && requests_.front().deadline_ <= now) {
    AwaitedRequest& late = requests_.front();
    requests_.pop_front();
    refusals_.Add(CallRefusal::kLateRequest);
    late.OnLate();
  }
  if (ok) Arm();
}

void RequestDeadlines::Arm() {
  if (armed_ || requests_.empty()) return;
  armed_ = true;
  alarm_.Set(&queue_, absl::ToChronoTime(requests_.front().deadline_), tag());
}

}  // namespace herald
