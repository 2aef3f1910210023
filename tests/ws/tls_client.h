// TLS for tests: certificates made on the spot, and a blocking client over OpenSSL.
#pragma once

#include <memory>
#include <string>

#include "tests/ws/test_keys.h"
#include "tests/ws/ws_client.h"
#include "ws/tls_context.h"

namespace herald {

// A self-signed certificate for localhost and its key, in PEM.
struct Certificate {
  std::string cert;
  std::string key;
};
Certificate MakeCertificate(const std::string& name);

// The context of a server, from files in a directory of its own.
class TestTls {
 public:
  TestTls();
  const TlsContext* get() const { return context_.get(); }

 private:
  TempDirectory directory_;
  std::unique_ptr<TlsContext> context_;
};

// Bytes over TLS. It trusts any certificate.
class TlsSocket final : public RawSocket {
 public:
  struct Options {
    int receive_buffer = 0;
    int max_version = TLS1_3_VERSION;
    std::string alpn = "";  // in wire format
    SSL_SESSION* resume = nullptr;
    int receive_record = 0;  // of the max_fragment_length extension: TLSEXT_max_fragment_length_…
  };
  explicit TlsSocket(std::uint16_t port) : TlsSocket(port, Options()) {}
  TlsSocket(std::uint16_t port, Options options);

  // The handshake went well.
  bool secure() const { return secure_; }
  std::string alpn() const;
  std::string server_name() const;  // the common name of its certificate
  // Records of application data that have come.
  int records() const { return *records_; }
  // The peer has said close_notify.
  bool close_notified() const {
    return (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
  }
  SSL* ssl() { return ssl_.get(); }
  void SendBehindTls(std::string_view bytes);

 private:
  std::ptrdiff_t Receive(void* data, std::size_t size) override;
  std::ptrdiff_t SendSome(const void* data, std::size_t size) override;

  SslContextPtr context_;
  SslPtr ssl_;
  std::unique_ptr<int> records_ = std::make_unique<int>(0);
  bool secure_ = false;
};

}  // namespace herald
