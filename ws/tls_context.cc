#include "ws/tls_context.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "fmt/format.h"

namespace herald {
namespace {

struct Deleter {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* cert) const { X509_free(cert); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using BioPtr = std::unique_ptr<BIO, Deleter>;

BioPtr Reader(const std::string& text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// What OpenSSL has to say about the last failure, on one line.
absl::Status Bad(const std::string& file, std::string_view what) {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = ERR_reason_error_string(code);
  ERR_clear_error();
  return absl::InvalidArgumentError(
      fmt::format("{}: {}{}{}", file, what, reason ? ": " : "", reason ? reason : ""));
}

// Asking for a pass phrase would stop the server.
int NoPassPhrase(char*, int, int, void*) { return -1; }

// RFC 7301. Browsers offer `http/1.1` for wss, and `h2` beside it for pages.
int ChooseProtocol(SSL*, const unsigned char** out, unsigned char* out_size,
                   const unsigned char* offered, unsigned offered_size, void*) {
  static constexpr std::string_view kHttp = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  const int found =
      SSL_select_next_proto(&chosen, out_size, reinterpret_cast<const unsigned char*>(kHttp.data()),
                            kHttp.size(), offered, offered_size);
  if (found != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

absl::Status UseCertificates(SSL_CTX* context, const std::string& file, const std::string& text) {
  const BioPtr reader = Reader(text);
  const std::unique_ptr<X509, Deleter> own(
      PEM_read_bio_X509_AUX(reader.get(), nullptr, NoPassPhrase, nullptr));
  if (!own) return Bad(file, "no certificate in PEM");
  if (SSL_CTX_use_certificate(context, own.get()) != 1)
    return Bad(file, "the certificate cannot be used");
  while (X509* next = PEM_read_bio_X509(reader.get(), nullptr, NoPassPhrase, nullptr)) {
    if (SSL_CTX_add0_chain_cert(context, next) != 1) {
      X509_free(next);
      return Bad(file, "the certificate chain cannot be used");
    }
  }
  // The end looks like one more block that does not begin.
  if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
    return Bad(file, "a broken certificate in the chain");
  ERR_clear_error();
  return absl::OkStatus();
}

absl::StatusOr<SslContextPtr> MakeContext(const std::string& cert_file, const std::string& cert,
                                          const std::string& key_file, const std::string& key) {
  ERR_clear_error();
  SslContextPtr made(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* context = made.get();
  if (context == nullptr) return absl::UnavailableError("OpenSSL gives no TLS context");
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  // Asked for where it is missing, it would cost each connection a vain search for a kernel module.
  static const bool kernel_tls = KernelTlsAvailable();
  if (kernel_tls) SSL_CTX_set_options(context, SSL_OP_ENABLE_KTLS);
  // Of TLS 1.2; those of 1.3 are all good.
  SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20");
  // A session at rest holds no buffers. A record that the kernel did not take whole is tried again
  // from a copy.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);  // tickets hold all
  SSL_CTX_set_num_tickets(context, 1);
  SSL_CTX_set_alpn_select_cb(context, ChooseProtocol, nullptr);

  if (absl::Status bad = UseCertificates(context, cert_file, cert); !bad.ok()) return bad;
  const std::unique_ptr<EVP_PKEY, Deleter> own(
      PEM_read_bio_PrivateKey(Reader(key).get(), nullptr, NoPassPhrase, nullptr));
  if (!own) return Bad(key_file, "no private key in PEM without a pass phrase");
  // Checks it against the certificate too.
  if (SSL_CTX_use_PrivateKey(context, own.get()) != 1 || SSL_CTX_check_private_key(context) != 1)
    return Bad(key_file, fmt::format("not the key of {}", cert_file));
  return made;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TlsContext>> TlsContext::Load(std::string cert_file,
                                                             std::string key_file) {
  std::unique_ptr<TlsContext> tls(new TlsContext(std::move(cert_file), std::move(key_file)));
  if (absl::Status bad = tls->Read(); !bad.ok()) return bad;
  return tls;
}

absl::Status TlsContext::Read() {
  absl::StatusOr<KeyFile> cert = ReadKeyFile(cert_file_);
  cert_stamp_ = cert.ok() ? cert->stamp : StampOf(cert_file_);
  absl::StatusOr<KeyFile> key = ReadKeyFile(key_file_);
  key_stamp_ = key.ok() ? key->stamp : StampOf(key_file_);
  if (!cert.ok()) return cert.status();
  if (!key.ok()) return key.status();
  absl::StatusOr<SslContextPtr> context = MakeContext(cert_file_, cert->text, key_file_, key->text);
  OPENSSL_cleanse(key->text.data(), key->text.size());
  if (!context.ok()) return context.status();
  const MutexLock lock(mutex_);
  context_ = *std::move(context);
  return absl::OkStatus();
}

SslPtr TlsContext::NewConnection() const {
  const MutexLock lock(mutex_);
  return SslPtr(SSL_new(context_.get()));
}

absl::StatusOr<bool> TlsContext::ReloadIfChanged() {
  // A bad pair is read again although it did not change, as key_store.cc does.
  if (error_.empty() && StampOf(cert_file_) == cert_stamp_ && StampOf(key_file_) == key_stamp_)
    return false;
  const FileStamp old_cert = cert_stamp_, old_key = key_stamp_;
  const std::string old_error = error_;
  const absl::Status status = Read();
  error_ = std::string(status.message());
  if (status.ok()) return true;
  if (error_ == old_error && cert_stamp_ == old_cert && key_stamp_ == old_key) return false;
  return status;
}

bool KernelTlsAvailable() {
#ifdef OPENSSL_NO_KTLS
  return false;
#else
  // A socket that is not connected is refused by the module, if there is one, with ENOTCONN.
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const bool here =
      ::setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof "tls") == 0 || errno == ENOTCONN;
  ::close(fd);
  return here;
#endif
}

}  // namespace herald
