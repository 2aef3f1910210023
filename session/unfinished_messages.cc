#include "session/unfinished_messages.h"

#include <algorithm>

#include "session/bump.h"

namespace herald {
namespace {

constexpr absl::Duration kSweep = absl::Seconds(1);

}  // namespace

bool UnfinishedMessages::Charge(UnfinishedMessage& message, std::size_t bytes) {
  if (message.index_ == UnfinishedMessage::kNone) {
    message.index_ = static_cast<std::uint32_t>(messages_.size());
    message.began_ = std::chrono::steady_clock::now();
    messages_.push_back(&message);
    if (!pending()) timers_.Schedule(*this, kSweep);
  }
  Bump(bytes_, static_cast<std::int64_t>(bytes) - static_cast<std::int64_t>(message.charged_));
  message.charged_ = bytes;
  while (this->bytes() > limits_.max_bytes) {
    UnfinishedMessage& largest =
        **std::max_element(messages_.begin(), messages_.end(),
                           [](const auto* a, const auto* b) { return a->charged_ < b->charged_; });
    Refuse(largest, UnfinishedMessage::Refusal::kPoolFull);
    if (&largest == &message) return false;
  }
  return true;
}

void UnfinishedMessages::Release(UnfinishedMessage& message) {
  if (message.index_ == UnfinishedMessage::kNone) return;
  Bump(bytes_, -static_cast<std::int64_t>(message.charged_));
  messages_[message.index_] = messages_.back();
  messages_[message.index_]->index_ = message.index_;
  messages_.pop_back();
  message.index_ = UnfinishedMessage::kNone;
  message.charged_ = 0;
  if (messages_.empty()) messages_.shrink_to_fit();
}

void UnfinishedMessages::Refuse(UnfinishedMessage& message, UnfinishedMessage::Refusal why) {
  Release(message);
  Bump(refused_[static_cast<std::size_t>(why)], 1);
  message.OnRefused(why);
}

void UnfinishedMessages::OnTimer() {
  const auto before = std::chrono::steady_clock::now() - absl::ToChronoNanoseconds(limits_.timeout);
  // Refusing one moves the last into its place.
  for (std::size_t i = messages_.size(); i-- > 0;) {
    if (i < messages_.size() && messages_[i]->began_ <= before)
      Refuse(*messages_[i], UnfinishedMessage::Refusal::kTooSlow);
  }
  if (!messages_.empty()) timers_.Schedule(*this, kSweep);
}

}  // namespace herald
