#include "session/direct_send.h"

#include <sys/socket.h>

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

bool DirectSend::Add(Session& session, const FramePtr& frame) {
  const int socket = session.DirectSocket();
  if (socket < 0) return false;
  session.CountDirect(*frame);
  const std::string& bytes = frame->bytes;
  if (batch_ == nullptr) {
    Settle({&session, &frame}, SendNow(socket, bytes));
    return true;
  }
  iovec& buffer = buffers_[session.encoding().index()];
  buffer = {const_cast<char*>(bytes.data()), bytes.size()};
  sends_.push_back({socket, targets_.size(), {&buffer, 1}, 0});
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
