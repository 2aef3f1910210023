#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <vector>

namespace herald {

class Session;

// Sends to many sockets at once, where that costs less than one call for each.
//
// Threads: one shard.
class BatchSender {
 public:
  struct Send {
    int fd;
    std::size_t session;  // for the caller
    std::span<iovec> buffers;
    ssize_t result;  // out: bytes that the kernel took, or -errno
  };
  // At most so many in a batch.
  static constexpr std::size_t kMaxSends = 1024;
  // Fewer cost less with a call for each.
  static constexpr std::size_t kWorthIt = 4;

  virtual ~BatchSender() = default;
  // Each as sendmsg(2) with MSG_DONTWAIT | MSG_NOSIGNAL would. What was not tried is -EAGAIN.
  virtual void SendAll(std::span<Send> sends) = 0;
};

// Flushes the sessions of a drain through a BatchSender.
//
// Threads: owning shard only.
// Limits:  BatchSender::kMaxSends sessions and four times as many buffers a batch; more batches
//          follow.
class BatchFlush {
 public:
  explicit BatchFlush(BatchSender& sender) : sender_(sender), buffers_(4 * BatchSender::kMaxSends) {
    sends_.reserve(BatchSender::kMaxSends);
  }

  // Flushes and clears `touched`, in which null stands for one that is gone, and to which may be
  // added meanwhile.
  void Flush(std::vector<Session*>& touched);

 private:
  BatchSender& sender_;
  std::vector<iovec> buffers_;
  std::vector<BatchSender::Send> sends_;
};

}  // namespace herald
