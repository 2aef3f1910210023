#pragma once

#include <array>
#include <boost/asio/async_result.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <cstddef>
#include <memory>
#include <span>

#include "absl/functional/any_invocable.h"
#include "ws/tls_stream.h"

namespace herald {

using TcpSocket =
    boost::asio::basic_stream_socket<boost::asio::ip::tcp, boost::asio::io_context::executor_type>;

// The first of `buffers` that is not empty; an empty one if none is.
template <class Buffers>
boost::asio::mutable_buffer FirstBuffer(const Buffers& buffers) {
  const auto end = boost::asio::buffer_sequence_end(buffers);
  for (auto it = boost::asio::buffer_sequence_begin(buffers); it != end; ++it) {
    if (const boost::asio::mutable_buffer buffer = *it; buffer.size() > 0) return buffer;
  }
  return {};
}

// A client's connection, with TLS or without: an AsyncStream of Asio's either way, so that what is
// built on it is compiled once.
//
// Without TLS it is the socket and a null pointer. The reading and writing of whole requests goes
// through here; a session writes to the descriptor (no TLS, or the kernel encrypts) or to `tls()`.
//
// Threads:   the connection's shard.
// Ownership: may be moved while nothing is pending. Whoever starts an operation keeps it alive for
//            that long.
// Limits:    one read and one write at a time; the handshake is either.
class ClientSocket {
 public:
  using executor_type = TcpSocket::executor_type;
  using error_code = boost::system::error_code;
  using wait_type = TcpSocket::wait_type;

  explicit ClientSocket(TcpSocket socket) : tcp_(std::move(socket)) {}

  executor_type get_executor() { return tcp_.get_executor(); }
  TcpSocket& tcp() { return tcp_; }
  int native_handle() const { return const_cast<TcpSocket&>(tcp_).native_handle(); }
  bool is_open() const { return tcp_.is_open(); }
  // Null: no TLS, or its end has been said.
  TlsStream* tls() { return tls_.get(); }
  const TlsStream* tls() const { return tls_.get(); }

  using Done = absl::AnyInvocable<void(error_code)>;
  using DoneBytes = absl::AnyInvocable<void(error_code, std::size_t)>;

  // Becomes a TLS connection, as the server; to be called first. `done` may be called before this
  // returns.
  void StartTls(SslPtr ssl, Done done);

  // For a peer that does not speak TLS.
  void DropTls() { tls_.reset(); }
  // Says that nothing more will be written, without waiting for the peer. What is read from then on
  // are the bytes of the wire.
  void ShutdownSend();
  void close(error_code& error) {
    tls_.reset();  // it must not see who gets the descriptor next
    tcp_.close(error);
  }
  void cancel(error_code& error) { tcp_.cancel(error); }
  template <class Handler>
  void async_wait(wait_type type, Handler&& handler) {
    tcp_.async_wait(type, std::forward<Handler>(handler));
  }

  template <class Buffers, class Handler>
  auto async_read_some(const Buffers& buffers, Handler&& handler) {
    if (tls_ == nullptr) return tcp_.async_read_some(buffers, std::forward<Handler>(handler));
    return boost::asio::async_initiate<Handler, void(error_code, std::size_t)>(
        [this](auto handler, const Buffers& buffers) {
          ReadTls(FirstBuffer(buffers), Posted(std::move(handler)));
        },
        handler, buffers);
  }

  template <class Buffers, class Handler>
  auto async_write_some(const Buffers& buffers, Handler&& handler) {
    if (tls_ == nullptr) return tcp_.async_write_some(buffers, std::forward<Handler>(handler));
    return boost::asio::async_initiate<Handler, void(error_code, std::size_t)>(
        [this](auto handler, const Buffers& buffers) {
          std::array<iovec, 16> parts;
          std::size_t n = 0;
          for (auto it = boost::asio::buffer_sequence_begin(buffers);
               n < parts.size() && it != boost::asio::buffer_sequence_end(buffers); ++it) {
            const boost::asio::const_buffer part = *it;
            parts[n++] = {const_cast<void*>(part.data()), part.size()};
          }
          WriteTls(std::span(parts).first(n), 0, Posted(std::move(handler)));
        },
        handler, buffers);
  }

 private:
  // A handler must not run inside the call that starts its operation.
  template <class Handler>
  DoneBytes Posted(Handler handler) {
    return [executor = get_executor(), handler = std::move(handler)](error_code error,
                                                                     std::size_t n) mutable {
      boost::asio::post(executor,
                        [handler = std::move(handler), error, n]() mutable { handler(error, n); });
    };
  }

  // Waits as `wait` says and then calls `then`; with an error if the socket is closed meanwhile.
  template <class Then>
  void WaitTls(TlsStream::Wait wait, Then then);
  void Handshake(Done done);
  void ReadTls(boost::asio::mutable_buffer buffer, DoneBytes done);
  void WriteTls(std::span<const iovec> buffers, std::size_t taken, DoneBytes done);

  TcpSocket tcp_;
  std::unique_ptr<TlsStream> tls_;
};

}  // namespace herald
