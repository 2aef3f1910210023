#include "session/direct_send.h"

#include <sys/socket.h>

#include <cassert>
#include <cerrno>
#include <utility>

#include "session/session.h"
#include "session/shard.h"

namespace herald {
namespace {

ssize_t SendNow(int socket, const std::string& bytes) {
  ssize_t n;
  do {
    n = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  return n;
}

}  // namespace

bool DirectSend::Add(Session& session, DirectSlot& slot, const FramePtr& frame) {
  if (!slot.open() && !session.OpenDirect()) return false;
  // Bytes for a socket that is somebody else's by now would be the worst that can happen.
  assert(slot.socket == session.DirectSocket());
  const std::string& bytes = frame->bytes;
  slot.messages += frame->messages;
  slot.bytes += bytes.size();
  if (batch_ == nullptr) {
    Settle({&session, &frame}, SendNow(slot.socket, bytes));
    return true;
  }
  iovec& buffer = buffers_[slot.encoding.index()];
  buffer = {const_cast<char*>(bytes.data()), bytes.size()};
  sends_.push_back({slot.socket, targets_.size(), {&buffer, 1}, 0});
  targets_.push_back({&session, &frame});
  if (sends_.size() == BatchSender::kMaxSends) SendBatch();
  return true;
}

void DirectSend::Settle(const Target& target, ssize_t result) {
  const Frame& frame = **target.frame;
  if (result == static_cast<ssize_t>(frame.bytes.size())) {
    messages_ += frame.messages;
    bytes_ += frame.bytes.size();
  } else {
    target.session->QueueUnsent(*target.frame, result > 0 ? static_cast<std::size_t>(result) : 0);
  }
}

void DirectSend::SendBatch() {
  if (sends_.size() >= BatchSender::kWorthIt) {
    batch_->SendAll(sends_);
  } else {
    for (BatchSender::Send& send : sends_)
      send.result = SendNow(send.fd, (*targets_[send.session].frame)->bytes);
  }
  for (const BatchSender::Send& send : sends_) Settle(targets_[send.session], send.result);
  sends_.clear();
  targets_.clear();
}

void DirectSend::Finish() {
  SendBatch();
  if (messages_ == 0) return;
  shard_.CountDirect(std::exchange(bytes_, 0), std::exchange(messages_, 0));
}

}  // namespace herald
