#include "tests/ws/tls_client.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/socket.h>

#include <cerrno>
#include <csignal>

namespace herald {
namespace {

template <typename Write>
std::string Pem(Write write) {
  BIO* bio = BIO_new(BIO_s_mem());
  EXPECT_EQ(write(bio), 1);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio, &text);
  std::string pem(text, static_cast<std::size_t>(size));
  BIO_free(bio);
  return pem;
}

void CountRecords(int writing, int, int type, const void* data, std::size_t size, SSL*,
                  void* records) {
  // The header of a record: RFC 8446 §5.1; 23 is application data.
  if (writing == 0 && type == SSL3_RT_HEADER && size > 0 &&
      *static_cast<const unsigned char*>(data) == SSL3_RT_APPLICATION_DATA) {
    ++*static_cast<int*>(records);
  }
}

}  // namespace

Certificate MakeCertificate(const std::string& name) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* cert = X509_new();
  X509_set_version(cert, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
  X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
  X509_gmtime_adj(X509_getm_notAfter(cert), 24 * 3600);
  X509_NAME* subject = X509_get_subject_name(cert);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.data()),
                             static_cast<int>(name.size()), -1, 0);
  X509_set_issuer_name(cert, subject);
  X509_set_pubkey(cert, key);
  EXPECT_GT(X509_sign(cert, key, EVP_sha256()), 0);
  Certificate made{Pem([&](BIO* bio) { return PEM_write_bio_X509(bio, cert); }), Pem([&](BIO* bio) {
                     return PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr,
                                                     nullptr);
                   })};
  X509_free(cert);
  EVP_PKEY_free(key);
  return made;
}

TestTls::TestTls() {
  std::signal(SIGPIPE, SIG_IGN);  // as the application does
  const Certificate made = MakeCertificate("localhost");
  auto context = TlsContext::Load(directory_.Write("cert.pem", made.cert),
                                  directory_.Write("key.pem", made.key));
  EXPECT_TRUE(context.ok()) << context.status();
  context_ = *std::move(context);
}

TlsSocket::TlsSocket(std::uint16_t port, Options options)
    : RawSocket(port, options.receive_buffer), context_(SSL_CTX_new(TLS_client_method())) {
  SSL_CTX_set_max_proto_version(context_.get(), options.max_version);
  // The versions that a server must refuse are offered only when OpenSSL is told to.
  SSL_CTX_set_min_proto_version(context_.get(), 0);
  SSL_CTX_set_security_level(context_.get(), 0);
  if (!options.alpn.empty()) {
    SSL_CTX_set_alpn_protos(context_.get(),
                            reinterpret_cast<const unsigned char*>(options.alpn.data()),
                            static_cast<unsigned>(options.alpn.size()));
  }
  SSL_CTX_set_tlsext_max_fragment_length(context_.get(),
                                         static_cast<std::uint8_t>(options.receive_record));
  ssl_.reset(SSL_new(context_.get()));
  SSL_set_msg_callback(ssl_.get(), CountRecords);
  SSL_set_msg_callback_arg(ssl_.get(), records_.get());
  if (options.resume != nullptr) SSL_set_session(ssl_.get(), options.resume);
  SSL_set_fd(ssl_.get(), fd());
  secure_ = SSL_connect(ssl_.get()) == 1;
  ERR_clear_error();
}

std::string TlsSocket::alpn() const {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &name, &size);
  return std::string(reinterpret_cast<const char*>(name), size);
}

std::string TlsSocket::server_name() const {
  X509* cert = SSL_get0_peer_certificate(ssl_.get());
  char name[64] = "";
  if (cert) X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name, 64);
  return name;
}

std::ptrdiff_t TlsSocket::Receive(void* data, std::size_t size) {
  ERR_clear_error();
  errno = 0;
  const int n = SSL_read(ssl_.get(), data, static_cast<int>(size));
  if (n > 0) return n;
  const int error = SSL_get_error(ssl_.get(), n);
  if (error == SSL_ERROR_ZERO_RETURN) return 0;
  if (error == SSL_ERROR_WANT_READ) errno = EAGAIN;  // the deadline
  return -1;
}

void TlsSocket::SendBehindTls(std::string_view bytes) {
  EXPECT_EQ(::send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(bytes.size()));
}

std::ptrdiff_t TlsSocket::SendSome(const void* data, std::size_t size) {
  ERR_clear_error();
  return SSL_write(ssl_.get(), data, static_cast<int>(size));
}

}  // namespace herald
