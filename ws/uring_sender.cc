#include "ws/uring_sender.h"

#include <cerrno>
#include <cstring>
#include <thread>

#include "fmt/format.h"

namespace herald {
namespace {

constexpr unsigned kEntries = BatchSender::kMaxSends;

// 0, or -errno.
int Open(io_uring& ring) {
  // Linux 6.1: completions wait until they are asked for, which is at the end of each submit.
  int error = ::io_uring_queue_init(kEntries, &ring,
                                    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
  if (error == -EINVAL) error = ::io_uring_queue_init(kEntries, &ring, 0);
  return error;
}

}  // namespace

absl::Status UringSender::Check() {
  // On a thread of its own: the kernel winds a ring up later, and interrupts the thread that made
  // it (EINTR), whatever that waits for by then.
  int error = 0;
  std::thread([&error] {
    io_uring ring;
    error = Open(ring);
    if (error >= 0) ::io_uring_queue_exit(&ring);
  }).join();
  if (error >= 0) return absl::OkStatus();
  return absl::UnavailableError(fmt::format("io_uring is refused: {}", std::strerror(-error)));
}

UringSender::~UringSender() { Close(State::kRefused); }

void UringSender::Close(State next) {
  if (state_ == State::kOpen) ::io_uring_queue_exit(&ring_);
  state_ = next;
}

void UringSender::SendAll(std::span<Send> sends) {
  if (state_ == State::kNew) state_ = Open(ring_) < 0 ? State::kRefused : State::kOpen;
  for (Send& send : sends) send.result = -EAGAIN;
  // What is not tried here is tried by the session itself, with a call of its own.
  if (state_ == State::kOpen && !Submit(sends)) Close(State::kRefused);
}

bool UringSender::Submit(std::span<Send> sends) {
  headers_.resize(kMaxSends);
  for (std::size_t i = 0; i < sends.size(); ++i) {
    const std::span<iovec> buffers = sends[i].buffers;
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    if (buffers.size() == 1) {
      ::io_uring_prep_send(entry, sends[i].fd, buffers[0].iov_base, buffers[0].iov_len,
                           MSG_NOSIGNAL | MSG_DONTWAIT);
    } else {
      headers_[i].msg_iov = buffers.data();
      headers_[i].msg_iovlen = buffers.size();
      ::io_uring_prep_sendmsg(entry, sends[i].fd, &headers_[i], MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    ::io_uring_sqe_set_data64(entry, i);
  }
  for (std::size_t done = 0; done < sends.size();) {
    const int error =
        ::io_uring_submit_and_wait(&ring_, static_cast<unsigned>(sends.size() - done));
    unsigned head = 0;
    unsigned completed = 0;
    io_uring_cqe* entry = nullptr;
    io_uring_for_each_cqe(&ring_, head, entry) {
      sends[::io_uring_cqe_get_data64(entry)].result = entry->res;
      ++completed;
    }
    ::io_uring_cq_advance(&ring_, completed);
    done += completed;
    if (error < 0 && error != -EINTR && error != -EAGAIN && error != -EBUSY) return false;
  }
  return true;
}

}  // namespace herald
