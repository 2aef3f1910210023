#include "ws/client_socket.h"

#include <boost/asio/error.hpp>
#include <utility>

namespace herald {

namespace asio = boost::asio;

void ClientSocket::StartTls(SslPtr ssl, Done done) {
  error_code error;
  tcp_.native_non_blocking(true, error);
  if (ssl == nullptr && !error) error = asio::error::no_memory;
  if (error) return done(error);
  tls_ = std::make_unique<TlsStream>(std::move(ssl), tcp_.native_handle());
  Handshake(std::move(done));
}

void ClientSocket::ShutdownSend() {
  if (tls_) {
    tls_->Shutdown();
    tls_.reset();
  }
  error_code ignored;
  tcp_.shutdown(TcpSocket::shutdown_send, ignored);
}

template <class Then>
void ClientSocket::WaitTls(TlsStream::Wait wait, Then then) {
  tcp_.async_wait(wait == TlsStream::Wait::kRead ? TcpSocket::wait_read : TcpSocket::wait_write,
                  [this, then = std::move(then)](error_code error) mutable {
                    if (!error && tls_ == nullptr) error = asio::error::operation_aborted;
                    then(error);
                  });
}

void ClientSocket::Handshake(Done done) {
  const TlsStream::Result result = tls_->Handshake();
  if (result.wait == TlsStream::Wait::kNone) return done(result.error);
  WaitTls(result.wait, [this, done = std::move(done)](error_code error) mutable {
    if (error) return done(error);
    Handshake(std::move(done));
  });
}

void ClientSocket::ReadTls(asio::mutable_buffer buffer, DoneBytes done) {
  if (buffer.size() == 0) return done({}, 0);
  const TlsStream::Result result = tls_->Read(buffer.data(), buffer.size());
  if (result.wait == TlsStream::Wait::kNone) return done(result.error, result.bytes);
  WaitTls(result.wait, [this, buffer, done = std::move(done)](error_code error) mutable {
    if (error) return done(error, 0);
    ReadTls(buffer, std::move(done));
  });
}

void ClientSocket::WriteTls(std::span<const iovec> buffers, std::size_t taken, DoneBytes done) {
  const TlsStream::Result result = tls_->Write(buffers);
  if (result.wait == TlsStream::Wait::kNone)
    return done(result.error, result.error ? 0 : taken + result.bytes);
  WaitTls(result.wait,
          [this, taken = taken + result.bytes, done = std::move(done)](error_code error) mutable {
            if (error) return done(error, 0);
            WriteTls({}, taken, std::move(done));
          });
}

}  // namespace herald
