#include "app/port_check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/time/clock.h"
#include "fmt/format.h"

namespace herald {
namespace {

struct SslFree {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

SocketAddress Resolve(const Address& address) {
  SocketAddress resolved;
  auto* const v6 = reinterpret_cast<sockaddr_in6*>(&resolved.storage);
  if (address.host.find(':') != std::string::npos) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(address.port);
    inet_pton(AF_INET6, address.host.c_str(), &v6->sin6_addr);
    if (IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr)) v6->sin6_addr = in6addr_loopback;
    resolved.size = sizeof(sockaddr_in6);
    return resolved;
  }
  auto* const v4 = reinterpret_cast<sockaddr_in*>(&resolved.storage);
  v4->sin_family = AF_INET;
  v4->sin_port = htons(address.port);
  inet_pton(AF_INET, address.host.c_str(), &v4->sin_addr);
  if (v4->sin_addr.s_addr == INADDR_ANY) v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  resolved.size = sizeof(sockaddr_in);
  return resolved;
}

// The steps of one check, all with the same deadline.
class Call {
 public:
  Call(int fd, absl::Time deadline, const std::function<bool()>& stopped)
      : fd_(fd), deadline_(deadline), stopped_(stopped) {}

  absl::Status Connect(const SocketAddress& to) {
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&to.storage), to.size) == 0)
      return absl::OkStatus();
    if (errno != EINPROGRESS) return Failed("connecting", errno);
    if (absl::Status status = Wait(POLLOUT, "connecting"); !status.ok()) return status;
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    return error == 0 ? absl::OkStatus() : Failed("connecting", error);
  }

  absl::Status Send(const std::string& bytes) {
    // A new connection's send buffer has room for a few hundred bytes.
    if (::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0 && errno != EPIPE &&
        errno != ECONNRESET)
      return Failed("sending", errno);
    return absl::OkStatus();
  }

  // Bytes, the end or a reset: each comes from a process that has accepted.
  absl::Status AwaitAnswer() { return Wait(POLLIN, "waiting for an answer"); }

  // A ServerHello, an alert or a close: who sends one has accepted and reads.
  absl::Status TlsHello(SSL* ssl) {
    SSL_set_fd(ssl, fd_);
    ERR_clear_error();
    (void)SSL_connect(ssl);
    ERR_clear_error();
    return AwaitAnswer();
  }

 private:
  static absl::Status Failed(const char* step, int error) {
    return absl::UnavailableError(fmt::format("{}: {}", step, std::strerror(error)));
  }

  absl::Status Wait(short events, const char* step) {
    while (absl::Now() < deadline_) {
      if (stopped_()) return absl::CancelledError("stopped");
      pollfd one{fd_, events, 0};
      const int ready = ::poll(&one, 1, 100);
      if (ready > 0) return absl::OkStatus();
      if (ready < 0 && errno != EINTR) return Failed(step, errno);
    }
    return absl::UnavailableError(fmt::format("{}: no answer in time", step));
  }

  const int fd_;
  const absl::Time deadline_;
  const std::function<bool()>& stopped_;
};

}  // namespace

PortCheck::PortCheck(Options options) : options_(std::move(options)) { OpenSocket(); }

PortCheck::PortCheck(PortCheck&& other) noexcept
    : options_(std::move(other.options_)), fd_(std::exchange(other.fd_, -1)) {}

PortCheck::~PortCheck() {
  if (fd_ >= 0) ::close(fd_);
}

void PortCheck::OpenSocket() {
  fd_ = ::socket(Resolve(options_.address).storage.ss_family,
                 SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

absl::Status PortCheck::Run(absl::Duration timeout, const std::string& before,
                            const std::function<bool()>& stopped) {
  if (fd_ < 0) OpenSocket();
  if (fd_ < 0) return absl::UnavailableError(fmt::format("socket: {}", std::strerror(errno)));
  const absl::Status status = [&]() -> absl::Status {
    Call call(fd_, absl::Now() + timeout, stopped);
    if (absl::Status bad = call.Connect(Resolve(options_.address)); !bad.ok()) return bad;
    if (!before.empty()) {
      if (absl::Status bad = call.Send(before); !bad.ok()) return bad;
    }
    if (!options_.tls) {
      if (absl::Status bad = call.Send(options_.request); !bad.ok()) return bad;
      return call.AwaitAnswer();
    }
    // No certificate is checked: this asks whether the port answers, not who it is.
    const std::unique_ptr<SSL_CTX, SslFree> context(SSL_CTX_new(TLS_client_method()));
    if (context == nullptr) return absl::UnavailableError("OpenSSL gives no TLS context");
    const std::unique_ptr<SSL, SslFree> ssl(SSL_new(context.get()));
    if (ssl == nullptr) return absl::UnavailableError("OpenSSL gives no TLS connection");
    if (options_.alpn != nullptr) {
      std::string list(1, static_cast<char>(std::strlen(options_.alpn)));
      list += options_.alpn;
      SSL_set_alpn_protos(ssl.get(), reinterpret_cast<const unsigned char*>(list.data()),
                          static_cast<unsigned>(list.size()));
    }
    return call.TlsHello(ssl.get());
  }();
  // The next check's descriptor is taken in the moment this one's is given back.
  ::close(fd_);
  OpenSocket();
  return status;
}

}  // namespace herald
