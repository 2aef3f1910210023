#include "session/outbound_queue.h"

#include <algorithm>
#include <utility>

namespace herald {
namespace {

bool MayGoByItself(const Outbound& out) {
  if (out.gap || out.run == nullptr) return false;
  const DeliveryOptions* options = out.run->first()->options();
  return options != nullptr && (options->expires_unix_ms != 0 || !options->collapse_key.empty());
}

}  // namespace

void OutboundQueue::Append(Outbound out) {
  if (head_ > 0 && frames_.size() == frames_.capacity()) {
    // Reuse the room of what has been written before asking for more.
    frames_.erase(frames_.begin(), frames_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }
  frames_.push_back(std::move(out));
}

void OutboundQueue::Push(Outbound out) {
  if (empty()) observer_.OnFilled();
  bytes_ += out.frame->bytes.size();
  if (MayGoByItself(out)) ++with_options_;
  Append(std::move(out));
}

void OutboundQueue::PushAhead(Outbound out) {
  if (empty()) observer_.OnFilled();
  bytes_ += out.frame->bytes.size();
  if (MayGoByItself(out)) ++with_options_;
  const std::uint32_t topic = out.frame->topic;
  std::size_t place = frames_.size();
  while (place > FirstUnsent()) {
    const Outbound& before = frames_[place - 1];
    if (before.frame != nullptr) {
      const bool control = before.frame->messages == 0;
      const DeliveryOptions* options = before.run ? before.run->first()->options() : nullptr;
      const bool ahead = options != nullptr && options->high_priority;
      if (control || ahead || before.frame->topic == topic) break;
    }
    --place;
  }
  frames_.insert(frames_.begin() + static_cast<std::ptrdiff_t>(place), std::move(out));
}

std::vector<Outbound> OutboundQueue::TakeAside() {
  std::vector<Outbound> aside;
  for (std::size_t i = FirstUnsent(); i < frames_.size(); ++i) {
    if (!InQueue(i)) continue;
    bytes_ -= frames_[i].frame->bytes.size();
    if (MayGoByItself(frames_[i])) --with_options_;
    aside.push_back(std::exchange(frames_[i], {}));
    ++holes_;
  }
  TidyUp();
  return aside;
}

void OutboundQueue::PutBack(std::vector<Outbound> aside) {
  for (Outbound& out : aside) Push(std::move(out));
}

std::size_t OutboundQueue::Gather(std::span<iovec> out) const {
  std::size_t n = 0;
  std::size_t skip = head_written_;
  for (std::size_t i = head_; i < frames_.size() && n < out.size(); ++i) {
    if (!InQueue(i)) continue;
    const std::string& bytes = frames_[i].frame->bytes;
    out[n++] = {const_cast<char*>(bytes.data()) + skip, bytes.size() - skip};
    skip = 0;
  }
  return n;
}

void OutboundQueue::Consume(std::size_t written) {
  bytes_ -= written;
  bytes_written_ += written;
  written += head_written_;
  while (head_ < frames_.size()) {
    Outbound& out = frames_[head_];
    if (out.frame == nullptr) {
      --holes_;
      ++head_;
      continue;
    }
    if (written < out.frame->bytes.size()) break;
    written -= out.frame->bytes.size();
    messages_written_ += out.frame->messages;
    if (out.awaited) ++awaited_gone_;
    if (out.run) {
      if (MayGoByItself(out)) --with_options_;
      observer_.OnWritten(out);
    }
    out = {};
    ++head_;
  }
  head_written_ = static_cast<std::uint32_t>(written);
  TidyUp();
}

void OutboundQueue::MarkLeft(std::string_view topic) {
  for (std::size_t i = head_; i < frames_.size(); ++i) {
    Outbound& out = frames_[i];
    if (InQueue(i) && out.tracking != Tracking::kNone && out.run->topic() == topic) out.left = true;
  }
}

std::uint64_t OutboundQueue::TakeOut(std::size_t i, DropReason reason) {
  Outbound out = std::exchange(frames_[i], {});
  ++holes_;
  bytes_ -= out.frame->bytes.size();
  if (out.awaited) ++awaited_gone_;
  if (out.run) {
    if (MayGoByItself(out)) --with_options_;
    observer_.OnDropped(out, reason);
  }
  return out.frame->messages;
}

std::uint64_t OutboundQueue::DropCollapsed(const Message& by) {
  if (with_options_ == 0) return 0;
  std::uint64_t lost = 0;
  for (std::size_t i = FirstUnsent(); i < frames_.size(); ++i) {
    if (!InQueue(i) || !MayGoByItself(frames_[i])) continue;
    const Message& message = *frames_[i].run->first();
    if (message.options()->collapse_key != by.options()->collapse_key) continue;
    if (message.topic() == by.topic()) lost += TakeOut(i, DropReason::kCollapsed);
  }
  TidyUp();
  return lost;
}

std::uint64_t OutboundQueue::DropExpired(std::int64_t now_unix_ms) {
  if (with_options_ == 0) return 0;
  std::uint64_t lost = 0;
  for (std::size_t i = FirstUnsent(); i < frames_.size(); ++i) {
    if (!InQueue(i) || !MayGoByItself(frames_[i])) continue;
    if (frames_[i].run->first()->options()->ExpiredAt(now_unix_ms))
      lost += TakeOut(i, DropReason::kExpired);
  }
  TidyUp();
  return lost;
}

std::uint64_t OutboundQueue::DropUnsent(DropReason reason) {
  std::uint64_t lost = 0;
  for (std::size_t i = FirstUnsent(); i < frames_.size(); ++i) {
    if (InQueue(i)) lost += TakeOut(i, reason);
  }
  TidyUp();
  return lost;
}

std::uint64_t OutboundQueue::DropAll(DropReason reason) {
  if (head_written_ > 0) {
    bytes_ += head_written_;  // TakeOut counts it whole
    head_written_ = 0;
  }
  return DropUnsent(reason);
}

void OutboundQueue::TidyUp() {
  while (head_ < frames_.size() && !InQueue(head_)) {
    ++head_;
    --holes_;
  }
  if (empty()) {
    head_ = 0;
    // Bursts of a few frames are the common case: keep that little, give back the rest.
    if (frames_.capacity() > 2) {
      std::vector<Outbound>().swap(frames_);
    } else {
      frames_.clear();
    }
    return;
  }
  if (holes_ > 16 && 2 * holes_ > frames_.size() - head_) {
    std::erase_if(frames_, [](const Outbound& out) { return out.frame == nullptr; });
    head_ = 0;
    holes_ = 0;
  }
}

}  // namespace herald
