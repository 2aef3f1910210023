#include "ws/frame_stream.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace herald {

void FrameStream::Flush() {
  if (queue_.may_expire() && observer_ != nullptr) observer_->BeforeWrite();
  while (!waiting_ && !failed_ && !queue_.empty()) {
    // Asio would pass at most 64 buffers a write; the kernel takes 1,024 (IOV_MAX).
    std::array<iovec, 256> buffers;
    msghdr message{};
    message.msg_iov = buffers.data();
    message.msg_iovlen = queue_.Gather(buffers);
    const ssize_t n = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
      queue_.Consume(static_cast<std::size_t>(n));
      shard_.CountWritten(static_cast<std::size_t>(n));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) {
      Fail(error_code(errno, boost::system::system_category()));
      return;
    }
    waiting_ = true;
    socket_.async_wait(TcpSocket::wait_write, Writable(this, owner_.lock()));
  }
  if (!beast_writes_.empty()) CompleteWritten({});
}

std::uint64_t FrameStream::AckedBytes() const {
  int unacknowledged = 0;
  if (::ioctl(const_cast<TcpSocket&>(socket_).native_handle(), SIOCOUTQ, &unacknowledged) != 0)
    return 0;
  return queue_.bytes_written() - static_cast<std::uint64_t>(unacknowledged);
}

void FrameStream::OnWritable(error_code error) {
  waiting_ = false;
  if (error) {
    Fail(error);
  } else {
    Flush();
  }
}

void FrameStream::WriteForBeast(FramePtr frame, Written done) {
  if (failed_) {
    done(boost::asio::error::broken_pipe);
    return;
  }
  const std::string& bytes = frame->bytes;
  shard_.CountQueued(static_cast<std::int64_t>(bytes.size()), 0);
  // A server's close frame: not masked, at most 125 bytes, the code first.
  const bool close = bytes.size() >= 4 && bytes[0] == static_cast<char>(0x88);
  const auto code = close ? static_cast<std::uint16_t>(static_cast<std::uint8_t>(bytes[2]) << 8 |
                                                       static_cast<std::uint8_t>(bytes[3]))
                          : std::uint16_t{0};
  Outbound out{std::move(frame), nullptr};
  out.awaited = true;
  queue_.Push(std::move(out));
  beast_writes_.push_back({++beast_frames_, std::move(done)});
  if (close) observer_->OnBeastCloses(code);
  Flush();
}

void FrameStream::CompleteWritten(error_code error) {
  std::size_t done = 0;
  while (done < beast_writes_.size() &&
         (error || beast_writes_[done].done_at <= queue_.awaited_gone()))
    ++done;
  if (done == 0) return;
  std::vector<BeastWrite> completed(
      std::make_move_iterator(beast_writes_.begin()),
      std::make_move_iterator(beast_writes_.begin() + static_cast<std::ptrdiff_t>(done)));
  beast_writes_.erase(beast_writes_.begin(),
                      beast_writes_.begin() + static_cast<std::ptrdiff_t>(done));
  if (beast_writes_.empty()) beast_writes_.shrink_to_fit();
  for (BeastWrite& write : completed) write.done(error);
}

void FrameStream::Fail(error_code error) {
  if (failed_) return;
  failed_ = true;
  error_code ignored;
  socket_.close(ignored);
  CompleteWritten(error);
}

}  // namespace herald
