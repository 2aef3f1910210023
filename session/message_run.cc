#include "session/message_run.h"

#include <algorithm>
#include <utility>

namespace herald {

MessageRun::MessageRun(std::vector<MessagePtr> messages) : messages_(std::move(messages)) {
  for (const MessagePtr& message : messages_) {
    if (message->receipt() != nullptr) reports_ = true;
    if (!AwaitsAck(*message)) continue;
    awaits_acks_ = true;
    last_offset_ = std::max(last_offset_, message->position().offset);
  }
}

bool MessageRun::final() const {
  return std::all_of(messages_.begin(), messages_.end(), [](const MessagePtr& message) {
    return message->receipt() == nullptr || message->receipt()->final();
  });
}

void MessageRun::Matched(std::uint64_t sessions) {
  for (const MessagePtr& message : messages_) {
    if (Receipt* receipt = message->receipt()) receipt->Matched(sessions);
  }
}

void MessageRun::Settle() {
  // In the order in which things happen to a session: no receipt tells of more acknowledged than
  // written.
  const std::uint32_t written = std::exchange(written_, 0);
  const std::uint32_t acked = std::exchange(acked_, 0);
  for (const MessagePtr& message : messages_) {
    Receipt* const receipt = message->receipt();
    if (receipt == nullptr) continue;
    if (written > 0) receipt->Written(written);
    if (acked > 0 && AwaitsAck(*message)) receipt->Acked(acked);
  }
}

}  // namespace herald
