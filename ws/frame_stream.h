#pragma once

#include <array>
#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/role.hpp>
#include <boost/beast/websocket/teardown.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <forward_list>
#include <memory>
#include <span>
#include <string>

#include "absl/functional/any_invocable.h"
#include "session/outbound_queue.h"
#include "session/shard.h"
#include "ws/client_socket.h"
#include "ws/compressed_marks.h"
#include "ws/frame_scanner.h"

namespace herald {

// The stream below `websocket::stream`. Everything that goes to the socket passes one queue of
// whole frames: ours, shared and already framed, and Beast's own (handshake, pong, close). So data
// is written without Beast, many frames in one gathered write, and can never tear a frame of
// Beast's.
//
// Threads:   owning shard only.
// Ownership: the queue is the session's. The owner is kept alive while the socket is awaited.
// Writing:   at once and non-blocking; waits for writability only when the kernel's buffer is
//            full. A write of Beast's completes when it has reached the kernel and not when it is
//            queued, so that a flood of pings stalls itself only. With TLS what is queued goes out in
//            records of up to 16 KiB; one that the kernel does not take whole has left the queue.
// Reading:   straight from the socket, after `prefix` (bytes that came behind the handshake's
//            header). Frames are counted before Beast sees them (frame_scanner.h), and compressed
//            messages are marked (compressed_marks.h).
// Limits:    after SlowReads, kSlowReadsPerSecond reads of at most 1.5 KB. Once Beast ends the
//            connection, kMaxDiscardedBytes are read and thrown away, so that the peer sees the close
//            frame and not a reset.
// Errors:    a failed write closes the socket, which ends the pending read with an error.
// Memory:    fills the block that Beast makes for it and itself: see tests/ws/allocation_test.cc
//            before you add a member.
class FrameStream {
 public:
  // Told when Beast closes on its own account: it answers the peer's close, or has found an error.
  // From then on nothing may be queued, or it would follow the close frame (RFC 6455 §5.5.1).
  class Observer {
   public:
    virtual void OnBeastCloses(std::uint16_t code) = 0;
    // Socket() will be another one.
    virtual void OnSocketChanges() = 0;
    // What has expired may be let go before the rest is written.
    virtual void BeforeWrite() = 0;
    // So many frames begin in the next so many bytes of the client; close frames are not counted.
    // A read counts for kLeastReadBytes at least. Beast gets the bytes when this returns.
    virtual void OnReceived(std::uint32_t frames, std::size_t bytes) = 0;
    // Keeps the stream alive while the socket is awaited.
    virtual std::shared_ptr<void> Owner() = 0;

   protected:
    ~Observer() = default;
  };

  using executor_type = ClientSocket::executor_type;
  using error_code = boost::beast::error_code;
  static constexpr int kSlowReadsPerSecond = 10;
  // What a read costs, in bytes: a peer may send each byte in a TLS record or a segment of its own.
  static constexpr std::size_t kLeastReadBytes = 256;
  static constexpr std::size_t kMaxDiscardedBytes = 256 * 1024;

  FrameStream(ClientSocket socket, OutboundQueue& queue, Shard& shard, std::string prefix)
      : socket_(std::move(socket)), queue_(queue), shard_(shard) {
    if (!prefix.empty()) prefix_ = std::make_unique<std::string>(std::move(prefix));
  }

  executor_type get_executor() { return socket_.get_executor(); }
  // A part of the owner.
  void set_observer(Observer& observer) { observer_ = &observer; }

  // From now on messages of the client may be compressed, and are marked. Null if not.
  void AllowCompressed() { marks_ = std::make_unique<CompressedMarks>(); }
  CompressedMarks* marks() { return marks_.get(); }

  // Writes what is queued, as far as the kernel takes it.
  void Flush();
  // While set, nothing is written: what has to go out first is not known yet.
  void set_corked(bool corked) {
    observer_->OnSocketChanges();
    corked_ = corked;
  }
  // The same as a part of a batch: see Session::PrepareSend and OnSent.
  int PrepareSend(std::span<iovec> out, std::size_t& n);
  bool OnSent(ssize_t result);
  // See Session::Socket.
  int Socket() const;
  // Loads what Flush looks at first.
  void Prefetch() const { __builtin_prefetch(this), __builtin_prefetch(&failed_); }
  // From now on the peer is read slowly, so that TCP slows it down: a peer that is being closed for
  // sending too much goes on for a while.
  void SlowReads() {
    if (!pause_) pause_ = std::make_unique<boost::asio::steady_timer>(get_executor());
  }
  // Closes the socket; what Beast still had to write ends with an error. The kernel still delivers
  // what was written, as long as the peer reads.
  void Abort() { Fail(boost::asio::error::operation_aborted); }
  // Abort will reset the connection: the kernel frees what it holds at once.
  void set_reset() { reset_ = true; }

  // What the peer's kernel has acknowledged (tcp(7), SIOCOUTQ).
  struct Acked {
    std::uint64_t bytes = 0;  // of all that was queued; with TLS at least so many
    std::uint64_t wire = 0;   // changes when more is acknowledged
  };
  // `written`: all bytes that were given to the socket.
  Acked AckedBytes(std::uint64_t written) const;
  // The kernel's buffers of this socket, as it charges them (SO_MEMINFO, socket(7)).
  std::size_t KernelBytes() const;
  // The socket takes no more bytes for now.
  bool blocked() const { return waiting_; }

  template <class Buffers, class Handler>
  auto async_read_some(const Buffers& buffers, Handler&& handler) {
    return boost::asio::async_initiate<Handler, void(error_code, std::size_t)>(
        [this](auto handler, const Buffers& buffers) {
          // Into one buffer, which is known here: so that the operation, which every session at rest
          // keeps, need not hold them all twice.
          const boost::asio::mutable_buffer to = FirstBuffer(buffers);
          reading_to_ = to.data();
          Received<decltype(handler)> received{this, std::move(handler)};
          if (prefix_) {
            const std::size_t n = boost::asio::buffer_copy(to, boost::asio::buffer(*prefix_));
            prefix_->erase(0, n);
            if (prefix_->empty()) prefix_.reset();
            boost::asio::post(get_executor(), [received = std::move(received), n]() mutable {
              received(error_code{}, n);
            });
          } else if (pause_) {
            pause_->expires_after(std::chrono::milliseconds(1000 / kSlowReadsPerSecond));
            pause_->async_wait([to, received = std::move(received)](error_code) mutable {
              ClientSocket& socket = received.stream->socket_;
              socket.async_read_some(to, std::move(received));
            });
          } else {
            socket_.async_read_some(to, std::move(received));
          }
        },
        handler, buffers);
  }

  template <class Buffers, class Handler>
  auto async_write_some(const Buffers& buffers, Handler&& handler) {
    return boost::asio::async_initiate<Handler, void(error_code, std::size_t)>(
        [this](auto handler, const Buffers& buffers) {
          // Handshakes, pongs and closes are a few hundred bytes: copied, so that they live as long
          // as the queue needs.
          auto frame = std::make_shared<Frame>();
          frame->messages = 0;
          frame->bytes.resize(boost::asio::buffer_size(buffers));
          boost::asio::buffer_copy(boost::asio::buffer(frame->bytes), buffers);
          const std::size_t n = frame->bytes.size();
          WriteForBeast(
              std::move(frame), [this, n, handler = std::move(handler)](error_code error) mutable {
                boost::asio::post(get_executor(), [handler = std::move(handler), error,
                                                   n]() mutable { handler(error, error ? 0 : n); });
              });
        },
        handler, buffers);
  }

  // Found by argument-dependent lookup when Beast ends the connection.
  friend void teardown(boost::beast::role_type role, FrameStream& stream, error_code& error) {
    stream.LeaveToBeast();
    stream.socket_.ShutdownSend();
    boost::beast::websocket::teardown(role, stream.socket_.tcp(), error);
  }
  template <class Handler>
  friend void async_teardown(boost::beast::role_type, FrameStream& stream, Handler&& handler) {
    stream.LeaveToBeast();
    stream.socket_.ShutdownSend();
    // Not Beast's, which reads whatever a peer sends for as long as it sends.
    stream.Discard(std::make_unique<Discarded>(), std::forward<Handler>(handler));
  }
  friend void beast_close_socket(FrameStream& stream) {
    stream.LeaveToBeast();
    error_code ignored;
    stream.socket_.close(ignored);
  }

 private:
  using Written = absl::AnyInvocable<void(error_code)>;
  struct BeastWrite {
    std::uint32_t done_at;  // when the queue has let go of this many awaited frames
    Written done;
  };
  // The handler that waits for writability. Beast's writes wait with it, and hold the owner, which
  // holds them: if the context ends instead, it breaks that ring.
  struct Writable {
    FrameStream* stream;
    std::shared_ptr<void> owner;

    Writable(FrameStream* stream, std::shared_ptr<void> owner)
        : stream(stream), owner(std::move(owner)) {}
    Writable(Writable&&) = default;
    ~Writable() {
      if (owner) const auto dropped = std::move(stream->beast_writes_);
    }
    void operator()(error_code error) {
      const auto keep = std::move(owner);
      stream->OnWritable(error);
    }
  };

  // Beast ends the connection, and closes the descriptor without asking.
  void LeaveToBeast() {
    observer_->OnSocketChanges();
    torn_down_ = true;
  }
  // The same over TLS, where the kernel does not encrypt.
  void FlushTls();
  // The completion of a read: counts what came, then passes it to Beast's handler.
  template <class Handler>
  struct Received {
    FrameStream* stream;
    Handler handler;

    using executor_type = boost::asio::associated_executor_t<Handler, FrameStream::executor_type>;
    executor_type get_executor() const noexcept {
      return boost::asio::get_associated_executor(handler, stream->get_executor());
    }
    using allocator_type = boost::asio::associated_allocator_t<Handler>;
    allocator_type get_allocator() const noexcept {
      return boost::asio::get_associated_allocator(handler);
    }
    void operator()(error_code error, std::size_t n) {
      if (n > 0) stream->CountReceived(n);
      std::move(handler)(error, n);
    }
  };
  // `n` bytes have come.
  void CountReceived(std::size_t n);

  struct Discarded {
    std::size_t bytes = 0;
    std::array<char, 4096> buffer;
  };
  // Reads what the peer still sends, until it ends too or has sent too much.
  template <class Handler>
  void Discard(std::unique_ptr<Discarded> discarded, Handler handler) {
    const auto buffer = boost::asio::buffer(discarded->buffer);
    socket_.tcp().async_read_some(
        buffer, [this, discarded = std::move(discarded), handler = std::move(handler)](
                    error_code error, std::size_t n) mutable {
          discarded->bytes += n;
          if (!error && discarded->bytes < kMaxDiscardedBytes)
            return Discard(std::move(discarded), std::move(handler));
          handler(error == boost::asio::error::eof ? error_code{} : error);
        });
  }
  void OnWritable(error_code error);
  void WriteForBeast(FramePtr frame, Written done);
  void CompleteWritten(error_code error);
  void Fail(error_code error);
  void Await(TcpSocket::wait_type type);
  void set_waiting(bool waiting);

  ClientSocket socket_;
  OutboundQueue& queue_;
  Shard& shard_;
  // What follows it stands where its alignment leaves room.
  [[no_unique_address]] FrameScanner scanner_;
  bool waiting_ = false;  // for the socket to become writable
  bool failed_ = false;
  bool corked_ = false;
  bool torn_down_ = false;
  bool reset_ = false;
  std::forward_list<BeastWrite> beast_writes_;  // in order; empty at rest
  Observer* observer_ = nullptr;
  void* reading_to_ = nullptr;           // where the pending read puts what comes
  std::unique_ptr<std::string> prefix_;  // null once it is read
  std::unique_ptr<CompressedMarks> marks_;
  std::unique_ptr<boost::asio::steady_timer> pause_;  // null: reads do not wait
};

}  // namespace herald
