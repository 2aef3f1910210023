#include "session/mailbox.h"

namespace herald {

bool Mailbox::Post(Mail mail) {
  bytes_.fetch_add(mail.bytes(), std::memory_order_relaxed);
  messages_.fetch_add(1, std::memory_order_relaxed);
  MutexLock lock(mutex_);
  mails_.push_back(std::move(mail));
  return mails_.size() == 1;
}

void Mailbox::Take(std::vector<Mail>& out) {
  MutexLock lock(mutex_);
  mails_.swap(out);
}

void Mailbox::Done(std::size_t messages, std::size_t bytes) {
  const std::size_t messages_left =
      messages_.fetch_sub(messages, std::memory_order_relaxed) - messages;
  const std::size_t bytes_left = bytes_.fetch_sub(bytes, std::memory_order_relaxed) - bytes;
  if (messages_left > limits_.high_messages / 2 || bytes_left > limits_.high_bytes / 2) return;
  std::vector<absl::AnyInvocable<void()>> resume;
  {
    MutexLock lock(mutex_);
    resume.swap(waiting_);
  }
  for (auto& call : resume) call();
}

bool Mailbox::AboveHighWatermark() const {
  return messages_.load(std::memory_order_relaxed) > limits_.high_messages ||
         bytes_.load(std::memory_order_relaxed) > limits_.high_bytes;
}

bool Mailbox::NotifyWhenLow(absl::AnyInvocable<void()> resume) {
  MutexLock lock(mutex_);
  // Asked under the lock: a Done that brings it below comes after us and sees `waiting_`.
  if (!AboveHighWatermark()) return false;
  waiting_.push_back(std::move(resume));
  return true;
}

}  // namespace herald
