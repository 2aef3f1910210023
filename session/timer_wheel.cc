#include "session/timer_wheel.h"

namespace herald {

void Timer::Unlink() {
  if (next_ == nullptr) return;
  previous_->next_ = next_;
  next_->previous_ = previous_;
  next_ = previous_ = nullptr;
}

TimerWheel::TimerWheel() {
  for (Head& head : slots_) {
    Timer& timer = head;
    timer.next_ = timer.previous_ = &timer;
  }
}

void TimerWheel::Link(Timer& timer, Head& slot) {
  Timer& head = slot;
  timer.previous_ = head.previous_;
  timer.next_ = &head;
  head.previous_->next_ = &timer;
  head.previous_ = &timer;
}

void TimerWheel::Schedule(Timer& timer, absl::Duration after) {
  timer.Unlink();
  // Rounded up, and one more because the current tick has begun already: never early.
  std::uint64_t ticks = 1;
  if (after > absl::ZeroDuration()) {
    ticks += static_cast<std::uint64_t>(absl::ToInt64Milliseconds(absl::Ceil(after, kTick)) /
                                        absl::ToInt64Milliseconds(kTick));
  }
  timer.deadline_ = now_ + ticks;
  Link(timer, slots_[timer.deadline_ % slots_.size()]);
}

void TimerWheel::Advance(std::uint64_t ticks) {
  while (ticks-- > 0) Tick();
}

void TimerWheel::Tick() {
  ++now_;
  // Due timers move to a list of their own first: a handler may schedule into this very slot.
  Head due;
  Timer& due_head = due;
  due_head.next_ = due_head.previous_ = &due_head;
  Timer& head = slots_[now_ % slots_.size()];
  for (Timer* timer = head.next_; timer != &head;) {
    Timer* next = timer->next_;
    if (timer->deadline_ <= now_) {
      timer->Unlink();
      Link(*timer, due);
    }
    timer = next;
  }
  while (due_head.next_ != &due_head) {
    Timer* timer = due_head.next_;
    timer->Unlink();
    timer->OnTimer();
  }
  due_head.next_ = due_head.previous_ = nullptr;
}

}  // namespace herald
