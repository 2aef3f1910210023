#include "ws/tls_stream.h"

#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <boost/asio/error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

namespace herald {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

}  // namespace

TlsStream::TlsStream(SslPtr ssl, int fd) : ssl_(std::move(ssl)) {
  SSL_set_fd(ssl_.get(), fd);
  SSL_set_accept_state(ssl_.get());
}

TlsStream::Result TlsStream::Outcome(int returned) {
  const int system_error = errno;
  switch (SSL_get_error(ssl_.get(), returned)) {
    case SSL_ERROR_WANT_READ:
      return {0, Wait::kRead, {}};
    case SSL_ERROR_WANT_WRITE:
      return {0, Wait::kWrite, {}};
    case SSL_ERROR_ZERO_RETURN:
      return {0, Wait::kNone, asio::error::eof};
    case SSL_ERROR_SYSCALL:
      broken_ = true;
      if (system_error == 0) return {0, Wait::kNone, asio::error::eof};
      return {0, Wait::kNone, error_code(system_error, boost::system::system_category())};
    default:
      broken_ = true;
      const unsigned long code = ERR_get_error();
      ERR_clear_error();
      if (code == 0 || ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
        return {0, Wait::kNone, asio::error::eof};
      return {0, Wait::kNone, error_code(static_cast<int>(code), asio::error::get_ssl_category())};
  }
}

TlsStream::Result TlsStream::Handshake() {
  ERR_clear_error();
  const int done = SSL_do_handshake(ssl_.get());
  if (done != 1) return Outcome(done);
#ifndef OPENSSL_NO_KTLS
  kernel_encrypts_ = BIO_get_ktls_send(SSL_get_wbio(ssl_.get()));
#endif
  return {};
}

TlsStream::Result TlsStream::Read(void* data, std::size_t size) {
  if (broken_) return {0, Wait::kNone, asio::error::eof};
  ERR_clear_error();
  std::size_t n = 0;
  const int done = SSL_read_ex(ssl_.get(), data, size, &n);
  return done == 1 ? Result{n, Wait::kNone, {}} : Outcome(done);
}

TlsStream::Result TlsStream::Send(const char* data, std::size_t size) {
  if (broken_) return {0, Wait::kNone, asio::error::broken_pipe};
  ERR_clear_error();
  std::size_t n = 0;
  const int done = SSL_write_ex(ssl_.get(), data, size, &n);
  return done == 1 ? Result{n, Wait::kNone, {}} : Outcome(done);
}

TlsStream::Result TlsStream::Write(std::span<const iovec> buffers) {
  if (!pending_.empty()) {
    const Result again = Send(pending_.data(), pending_.size());
    if (again.error || again.wait != Wait::kNone) return {0, again.wait, again.error};
    std::string().swap(pending_);
  }
  // What is together already is not copied.
  while (!buffers.empty() && buffers[0].iov_len == 0) buffers = buffers.subspan(1);
  if (buffers.empty()) return {};
  std::array<char, kMaxRecordBytes> record;
  const char* data = static_cast<const char*>(buffers[0].iov_base);
  std::size_t size = std::min(buffers[0].iov_len, kMaxRecordBytes);
  if (size < kMaxRecordBytes && buffers.size() > 1) {
    std::memcpy(record.data(), data, size);
    data = record.data();
    for (const iovec& buffer : buffers.subspan(1)) {
      const std::size_t n = std::min(buffer.iov_len, kMaxRecordBytes - size);
      std::memcpy(record.data() + size, buffer.iov_base, n);
      size += n;
      if (size == kMaxRecordBytes) break;
    }
  }
  const Result sent = Send(data, size);
  if (sent.error) return sent;
  // OpenSSL has encrypted it and must be given the same bytes again.
  if (sent.wait != Wait::kNone) pending_.assign(data, size);
  return {size, sent.wait, {}};
}

void TlsStream::Shutdown() {
  if (broken_ || !SSL_is_init_finished(ssl_.get())) return;
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

std::uint64_t TlsStream::wire_bytes() const { return BIO_number_written(SSL_get_wbio(ssl_.get())); }

bool TlsStream::IsPlainHttp(const error_code& error) {
  return error.category() == asio::error::get_ssl_category() &&
         ERR_GET_REASON(static_cast<unsigned long>(error.value())) == SSL_R_HTTP_REQUEST;
}

}  // namespace herald
