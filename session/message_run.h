#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "session/message.h"

namespace herald {

// Consecutive messages of one topic that go to the sessions of one shard together, and what became
// of them there. A run is mostly written whole and acknowledged whole: that is counted here, and
// handed to the receipts of its messages once for all sessions (Settle), not once for each.
//
// Threads:   owning shard only.
// Ownership: shared by the queues of the sessions it goes to, and by those that still have to
//            acknowledge it.
class MessageRun {
 public:
  // At least one message; more than one only if none has an option but its receipt.
  explicit MessageRun(std::vector<MessagePtr> messages);

  const std::vector<MessagePtr>& messages() const { return messages_; }
  const MessagePtr& first() const { return messages_.front(); }
  const std::string& topic() const { return first()->topic(); }
  // Some have a receipt.
  bool reports() const { return reports_; }
  // Some receipts wait for acknowledgements, the last of them of this offset.
  bool awaits_acks() const { return awaits_acks_; }
  std::uint64_t last_offset() const { return last_offset_; }
  // No receipt counts any more.
  bool final() const;

  // So many more sessions are meant: at once, since receipts must know before anything happens.
  void Matched(std::uint64_t sessions);
  // What one session has done with all of it. Settle tells the receipts.
  void Written() { ++written_; }
  void Acked() { ++acked_; }
  void Settle();

  // In the shard's list of runs to settle.
  bool unsettled = false;

 private:
  const std::vector<MessagePtr> messages_;
  std::uint64_t last_offset_ = 0;
  std::uint32_t written_ = 0;  // sessions, since the last Settle
  std::uint32_t acked_ = 0;
  bool reports_ = false;
  bool awaits_acks_ = false;
};
using MessageRunPtr = std::shared_ptr<MessageRun>;

// True if the receipt of `message` waits for acknowledgements.
inline bool AwaitsAck(const Message& message) {
  return message.receipt() != nullptr && message.receipt()->level() == Receipt::Level::kAcked;
}

}  // namespace herald
