#pragma once

#include <sys/uio.h>

#include <boost/system/error_code.hpp>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "ws/tls_context.h"

namespace herald {

// TLS of one connection, on its socket's descriptor. Never blocks: a result says for what to wait.
//
// OpenSSL reads and writes the descriptor itself, and not memory that we would copy to and from the
// socket: nothing of ours lies between, and the kernel can take over the encryption (kTLS).
//
// Threads:   the connection's shard.
// Ownership: does not own the descriptor, and must be gone before that is closed.
// Limits:    one record (16 KiB) that the kernel has not taken whole, once plain and once
//            encrypted; nothing at rest.
// Signals:   SIGPIPE must be ignored, for OpenSSL writes without MSG_NOSIGNAL.
// Errors:    Asio's, OpenSSL's (`boost::asio::error::get_ssl_category()`) or the system's. The end
//            is eof, whether or not the peer said close_notify: WebSocket has its own close.
// Spec:      RFC 8446 §5.1, records.
class TlsStream {
 public:
  enum class Wait { kNone, kRead, kWrite };
  struct Result {
    std::size_t bytes = 0;
    Wait wait = Wait::kNone;
    boost::system::error_code error;
  };

  static constexpr std::size_t kMaxRecordBytes = 16 * 1024;

  // `fd` must not block.
  TlsStream(SslPtr ssl, int fd);

  Result Handshake();
  Result Read(void* data, std::size_t size);
  // Takes the first bytes of `buffers`, as many as fit into one record; it waits, `pending`, if the
  // kernel does not take it. While one is pending none is taken.
  Result Write(std::span<const iovec> buffers);
  // Plain bytes of a record that were taken and are not with the kernel.
  std::size_t pending() const { return pending_.size(); }
  // Says close_notify, if the socket takes it. Nothing may be written after.
  void Shutdown();

  // The kernel encrypts: write to the socket itself.
  bool kernel_encrypts() const { return kernel_encrypts_; }
  // Bytes that OpenSSL has given to the kernel.
  std::uint64_t wire_bytes() const;
  // A request in plain HTTP came instead of a handshake.
  static bool IsPlainHttp(const boost::system::error_code& error);

 private:
  Result Outcome(int returned);
  Result Send(const char* data, std::size_t size);

  SslPtr ssl_;
  std::string pending_;
  bool kernel_encrypts_ = false;
  bool broken_ = false;  // OpenSSL wants no more calls
};

}  // namespace herald
