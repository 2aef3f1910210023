#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "session/mutex.h"
#include "ws/auth/key_file.h"

namespace herald {

struct SslDeleter {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using SslPtr = std::unique_ptr<SSL, SslDeleter>;
using SslContextPtr = std::unique_ptr<SSL_CTX, SslDeleter>;

// The client port's certificate, key and TLS settings: TLS 1.2 and 1.3, ciphers with forward
// secrecy and authentication only, ALPN `http/1.1`, session tickets, no renegotiation.
//
// A pair of files that turns bad keeps the pair it last gave; connections keep what they began
// with.
//
// Threads:   all methods from any. Load and ReloadIfChanged read files: call them off the shards.
// Limits:    files as in key_file.h, looked at whenever ReloadIfChanged is called (one `stat`
//            each).
// Errors:    kInvalidArgument, kNotFound or kUnavailable, naming the file.
class TlsContext {
 public:
  // The certificate with its chain, and the key, in PEM. An encrypted key is an error.
  static absl::StatusOr<std::unique_ptr<TlsContext>> Load(std::string cert_file,
                                                          std::string key_file);

  // For one connection, as its server. Null if there is no memory.
  SslPtr NewConnection() const;

  // Reads the files again if one has changed; true if new connections get another certificate. A
  // fault is reported once, and again only when it or a file changes.
  absl::StatusOr<bool> ReloadIfChanged();

 private:
  TlsContext(std::string cert_file, std::string key_file)
      : cert_file_(std::move(cert_file)), key_file_(std::move(key_file)) {}

  absl::Status Read() ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string cert_file_;
  const std::string key_file_;

  // Of the version that was last read, good or bad; of whoever reloads, one at a time.
  FileStamp cert_stamp_, key_stamp_;
  std::string error_;

  mutable Mutex mutex_;  // held for a look at the pointer
  SslContextPtr context_ ABSL_GUARDED_BY(mutex_);
};

// The kernel can encrypt what is sent (Linux CONFIG_TLS): it does then, if the cipher suits it.
bool KernelTlsAvailable();

}  // namespace herald
