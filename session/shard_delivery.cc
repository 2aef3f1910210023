// From a message in the mail to the queues of its topic's sessions.
#include <algorithm>
#include <array>
#include <utility>

#include "session/shard.h"

namespace herald {
namespace {

// A run of frames is shared by all its sessions; longer ones would only delay the first write.
constexpr std::size_t kMaxRunMessages = 256;
constexpr std::size_t kMaxRunBytes = 128 * 1024;

}  // namespace

void Shard::HandleMail(Mail& mail) {
  if (mail.task) {
    FinishRun();
    mail.task();
    return;
  }
  const Message& message = *mail.message;
  auto it = topics_.find(std::string_view(message.topic()));
  if (it == topics_.end()) {
    if (mail.tally) mail.tally->Answer(0);
    if (Receipt* receipt = message.receipt()) receipt->Release();
    return;
  }
  TopicSubscribers& topic = **it;
  if (mail.except || mail.tally || topic.overflow != Overflow::kDisconnect ||
      (message.options() != nullptr && !message.options()->only_receipt())) {
    FinishRun();
    DeliverSingly(topic, mail);
    return;
  }
  if (run_.topic != &topic || run_.messages.size() >= kMaxRunMessages || run_.bytes >= kMaxRunBytes)
    FinishRun();
  run_.topic = &topic;
  run_.bytes += message.body().payload.size();
  run_.reports |= message.receipt() != nullptr;
  run_.messages.push_back(std::move(mail.message));
}

void Shard::DeliverSingly(TopicSubscribers& topic, const Mail& mail) {
  std::uint64_t met = 0;
  delivering_ = true;
  const std::uint64_t offset = mail.message->position().offset;
  Receipt* const receipt = mail.message->receipt();
  for (const TopicSubscribers::Entry& entry : topic.entries) {
    if (entry.session->closing()) continue;
    if (mail.except && mail.except->Cover(entry.session->id(), entry.session->user())) continue;
    if (offset != 0 && offset <= entry.start_offset) continue;
    ++met;
    if (receipt != nullptr) receipt->Matched();
    entry.session->Deliver(mail.message, topic.overflow,
                           receipt != nullptr ? Tracking::kCounted : Tracking::kNone);
  }
  delivering_ = false;
  if (receipt != nullptr) receipt->Release();
  if (mail.tally) mail.tally->Answer(met);
}

FramePtr Shard::JoinRun(Encoding encoding) const {
  if (run_.messages.size() == 1) return run_.messages[0]->EncodedFor(encoding, options_.encoders);
  auto joined = std::make_shared<Frame>();
  joined->messages = static_cast<std::uint32_t>(run_.messages.size());
  joined->topic = TopicHash(run_.topic->topic);
  std::size_t bytes = 0;
  for (const MessagePtr& message : run_.messages) {
    bytes += message->EncodedFor(encoding, options_.encoders)->bytes.size();
  }
  joined->bytes.reserve(bytes);
  for (const MessagePtr& message : run_.messages) {
    joined->bytes += message->EncodedFor(encoding, options_.encoders)->bytes;
  }
  return joined;
}

void Shard::FinishRun(bool last) {
  if (run_.topic == nullptr) return;
  const TopicSubscribers& topic = *run_.topic;
  // Live-only messages have offset 0 and are for whoever is here.
  std::uint64_t first_offset = 0;
  for (const MessagePtr& message : run_.messages) {
    const std::uint64_t offset = message->position().offset;
    if (offset != 0 && (first_offset == 0 || offset < first_offset)) first_offset = offset;
  }
  // The others subscribed while this run was under way.
  const auto gets_all = [&](const TopicSubscribers::Entry& entry) {
    return first_offset == 0 || entry.start_offset < first_offset;
  };
  MessageRunPtr run;
  if (run_.reports) {
    run = std::make_shared<MessageRun>(run_.messages);
    run->Matched(static_cast<std::uint64_t>(std::count_if(
        topic.entries.begin(), topic.entries.end(), [&](const TopicSubscribers::Entry& entry) {
          return gets_all(entry) && !entry.session->closing();
        })));
  }
  std::array<FramePtr, kEncodings> frames;
  delivering_ = true;
  const std::span<const TopicSubscribers::Entry> entries = topic.entries;
  // Nothing more comes in this drain that could go out with it, and nothing has to be known of it. A
  // few go along with what is to be flushed anyway.
  const bool directly =
      last && run == nullptr && (touched_.empty() || entries.size() >= BatchSender::kWorthIt);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    // A session whose slot is open is not looked at.
    PrefetchAhead(entries, i, [&](const TopicSubscribers::Entry& entry) {
      return directly && direct_slots_[entry.direct].open() ? nullptr : entry.session;
    });
    Session& session = *entries[i].session;
    DirectSlot& slot = direct_slots_[entries[i].direct];
    const bool open = directly && slot.open();
    if (!open && session.closing()) continue;
    if (!gets_all(entries[i])) {
      DeliverBehindStart(entries[i]);
      continue;
    }
    const Encoding encoding = open ? slot.encoding : session.encoding();
    FramePtr& frame = frames[encoding.index()];
    if (!frame) frame = JoinRun(encoding);
    if (!directly || !direct_send_.Add(session, slot, frame)) session.Enqueue(frame, run);
  }
  direct_send_.Finish();
  delivering_ = false;
  if (run) {
    for (const MessagePtr& message : run_.messages) {
      if (Receipt* receipt = message->receipt()) receipt->Release();
    }
  }
  run_.topic = nullptr;
  run_.messages.clear();
  run_.bytes = 0;
  run_.reports = false;
}

void Shard::DeliverBehindStart(const TopicSubscribers::Entry& entry) {
  for (const MessagePtr& message : run_.messages) {
    const std::uint64_t offset = message->position().offset;
    if (offset != 0 && offset <= entry.start_offset) continue;
    Receipt* const receipt = message->receipt();
    if (receipt != nullptr) receipt->Matched();
    entry.session->Deliver(message, Overflow::kDisconnect,
                           receipt != nullptr ? Tracking::kCounted : Tracking::kNone);
  }
}

const MessageRunPtr& Shard::RunOf(const MessagePtr& message) {
  if (!single_ || single_->first() != message)
    single_ = std::make_shared<MessageRun>(std::vector<MessagePtr>{message});
  return single_;
}

}  // namespace herald
