#include "session/outbound_queue.h"

namespace herald {

void OutboundQueue::Push(FramePtr frame) {
  bytes_ += frame->bytes.size();
  if (head_ > 0 && frames_.size() == frames_.capacity()) {
    // Reuse the room of what has been written before asking for more.
    frames_.erase(frames_.begin(), frames_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }
  frames_.push_back(std::move(frame));
}

std::size_t OutboundQueue::Gather(std::span<iovec> out) const {
  std::size_t n = 0;
  std::size_t skip = head_written_;
  for (std::size_t i = head_; i < frames_.size() && n < out.size(); ++i) {
    const std::string& bytes = frames_[i]->bytes;
    out[n++] = {const_cast<char*>(bytes.data()) + skip, bytes.size() - skip};
    skip = 0;
  }
  return n;
}

void OutboundQueue::Consume(std::size_t written) {
  bytes_ -= written;
  bytes_written_ += written;
  written += head_written_;
  while (head_ < frames_.size() && written >= frames_[head_]->bytes.size()) {
    written -= frames_[head_]->bytes.size();
    messages_written_ += frames_[head_]->messages;
    frames_[head_].reset();
    ++head_;
    ++popped_;
  }
  head_written_ = written;
  ReleaseIfEmpty();
}

std::uint64_t OutboundQueue::DropUnsent() {
  std::uint64_t lost = 0;
  const std::size_t keep = head_ + (head_written_ > 0 ? 1 : 0);
  while (frames_.size() > keep) {
    bytes_ -= frames_.back()->bytes.size();
    lost += frames_.back()->messages;
    frames_.pop_back();
    ++popped_;
  }
  ReleaseIfEmpty();
  return lost;
}

std::uint64_t OutboundQueue::DropAll() {
  std::uint64_t lost = DropUnsent();
  if (!empty()) {
    lost += frames_[head_]->messages;
    bytes_ = 0;
    head_written_ = 0;
    ++head_;
    ++popped_;
    ReleaseIfEmpty();
  }
  return lost;
}

void OutboundQueue::ReleaseIfEmpty() {
  if (!empty()) return;
  head_ = 0;
  // Bursts of a few frames are the common case: keep that little, give back the rest.
  if (frames_.capacity() > 4) {
    std::vector<FramePtr>().swap(frames_);
  } else {
    frames_.clear();
  }
}

}  // namespace herald
