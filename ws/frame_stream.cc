#include "ws/frame_stream.h"

#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>

namespace herald {
namespace {

// Of one write. Asio would pass at most 64; the kernel takes 1,024 (IOV_MAX).
constexpr std::size_t kMaxBuffers = 256;
// How long the kernel keeps trying to deliver what was written before the connection ended.
constexpr int kOrphanMs = 10'000;
using UserTimeout = boost::asio::detail::socket_option::integer<IPPROTO_TCP, TCP_USER_TIMEOUT>;

}  // namespace

void FrameStream::Flush() {
  if (corked_) return;
  if (queue_.may_expire() && observer_ != nullptr) observer_->BeforeWrite();
  if (socket_.tls() != nullptr && !socket_.tls()->kernel_encrypts()) return FlushTls();
  while (!waiting_ && !failed_ && !queue_.empty()) {
    std::array<iovec, kMaxBuffers> buffers;
    msghdr message{};
    message.msg_iov = buffers.data();
    message.msg_iovlen = queue_.Gather(buffers);
    // One buffer is the common case, and send(2) the cheaper call.
    const ssize_t n =
        message.msg_iovlen == 1
            ? ::send(socket_.native_handle(), buffers[0].iov_base, buffers[0].iov_len,
                     MSG_NOSIGNAL | MSG_DONTWAIT)
            : ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
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
    Await(TcpSocket::wait_write);
  }
  if (!beast_writes_.empty()) CompleteWritten({});
}

int FrameStream::Socket() const {
  if (waiting_ || failed_ || corked_ || torn_down_) return -1;
  if (socket_.tls() != nullptr && !socket_.tls()->kernel_encrypts()) return -1;
  return socket_.native_handle();
}

int FrameStream::PrepareSend(std::span<iovec> out, std::size_t& n) {
  if (queue_.empty() || queue_.may_expire()) return -1;
  const int socket = Socket();
  if (socket >= 0) n = queue_.Gather(out.first(std::min(out.size(), kMaxBuffers)));
  return socket;
}

bool FrameStream::OnSent(ssize_t result) {
  // After an error, Flush meets it again and knows what to do.
  if (result > 0) {
    queue_.Consume(static_cast<std::size_t>(result));
    shard_.CountWritten(static_cast<std::size_t>(result));
  }
  return !queue_.empty() || !beast_writes_.empty();
}

void FrameStream::FlushTls() {
  TlsStream& tls = *socket_.tls();
  while (!waiting_ && !failed_) {
    std::array<iovec, kMaxBuffers> buffers;
    const std::size_t n = queue_.Gather(buffers);
    if (n == 0 && tls.pending() == 0) break;
    const TlsStream::Result result = tls.Write(std::span(buffers).first(n));
    if (result.error) return Fail(result.error);
    // Gone from the queue also if the kernel has not taken it: it is encrypted, and can be neither
    // dropped nor overtaken any more.
    queue_.Consume(result.bytes);
    shard_.CountWritten(result.bytes);
    if (result.wait == TlsStream::Wait::kNone) continue;
    Await(result.wait == TlsStream::Wait::kRead ? TcpSocket::wait_read : TcpSocket::wait_write);
  }
  if (!beast_writes_.empty() && tls.pending() == 0) CompleteWritten({});
}

FrameStream::Acked FrameStream::AckedBytes(std::uint64_t written) const {
  int value = 0;
  if (::ioctl(socket_.native_handle(), SIOCOUTQ, &value) != 0) return {};
  const auto unacknowledged = static_cast<std::uint64_t>(value);
  const TlsStream* tls = socket_.tls();
  if (tls == nullptr) return {written - unacknowledged, written - unacknowledged};
  // The kernel counts what is encrypted, which is more than what was queued.
  const std::uint64_t missing = unacknowledged + tls->pending();
  const std::uint64_t wire = tls->wire_bytes() + (tls->kernel_encrypts() ? written : 0);
  return {written - std::min(written, missing), wire - unacknowledged};
}

std::size_t FrameStream::KernelBytes() const {
  std::array<std::uint32_t, SK_MEMINFO_VARS> info{};
  socklen_t size = sizeof info;
  if (::getsockopt(socket_.native_handle(), SOL_SOCKET, SO_MEMINFO, info.data(), &size) != 0)
    return 0;
  return info[SK_MEMINFO_WMEM_QUEUED] + info[SK_MEMINFO_RMEM_ALLOC];
}

void FrameStream::CountReceived(std::size_t n) {
  std::uint32_t frames = 0;
  scanner_.Scan(boost::asio::buffer(reading_to_, n), [&](unsigned char& first) {
    if (static_cast<Opcode>(first & 0x0f) != Opcode::kClose) ++frames;
    if (marks_) marks_->OnFrame(first);
  });
  observer_->OnReceived(frames, std::max(n, kLeastReadBytes));
}

void FrameStream::set_waiting(bool waiting) {
  if (waiting == waiting_) return;
  waiting_ = waiting;
  waiting ? shard_.slow_sessions().OnBlocked() : shard_.slow_sessions().OnUnblocked();
}

void FrameStream::Await(TcpSocket::wait_type type) {
  // First, since it keeps the owner alive: this session may be closed as the slowest one.
  socket_.async_wait(type, Writable(this, observer_->Owner()));
  set_waiting(true);
}

void FrameStream::OnWritable(error_code error) {
  set_waiting(false);
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
  // Beast begins a write when the one before has completed: there are hardly ever two.
  auto last = beast_writes_.before_begin();
  while (std::next(last) != beast_writes_.end()) ++last;
  const std::uint32_t before = beast_writes_.empty() ? queue_.awaited_gone() : last->done_at;
  beast_writes_.insert_after(last, {before + 1, std::move(done)});
  if (close) observer_->OnBeastCloses(code);
  Flush();
}

void FrameStream::CompleteWritten(error_code error) {
  const auto is_done = [&](const BeastWrite& write) {
    return error || static_cast<std::int32_t>(queue_.awaited_gone() - write.done_at) >= 0;
  };
  auto last = beast_writes_.before_begin();
  while (std::next(last) != beast_writes_.end() && is_done(*std::next(last))) ++last;
  std::forward_list<BeastWrite> completed;
  completed.splice_after(completed.before_begin(), beast_writes_, beast_writes_.before_begin(),
                         std::next(last));
  for (BeastWrite& write : completed) write.done(error);
}

void FrameStream::Fail(error_code error) {
  if (failed_) return;
  if (observer_ != nullptr) observer_->OnSocketChanges();
  failed_ = true;
  error_code ignored;
  if (reset_) {
    socket_.tcp().set_option(boost::asio::socket_base::linger(true, 0), ignored);
  } else if (waiting_) {
    // Else the kernel would keep the bytes of a peer that does not read for minutes (tcp(7)).
    socket_.tcp().set_option(UserTimeout(kOrphanMs), ignored);
  }
  socket_.close(ignored);
  set_waiting(false);
  CompleteWritten(error);
}

}  // namespace herald
