#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_replace.h"
#include "bench/client_frame.h"
#include "bench/loopback.h"
#include "bench/publisher.h"
#include "fmt/format.h"

namespace herald::bench {
namespace {

// A blocking connection.
class Connection {
 public:
  Connection() = default;
  ~Connection() {
    if (fd_ >= 0) ::close(fd_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  absl::Status Open(int port) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const sockaddr_in address = Loopback(port);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      return absl::UnavailableError(fmt::format("publisher: connect: {}", std::strerror(errno)));
    return absl::OkStatus();
  }

  // Answers that come meanwhile are read away, or the peer would stop reading.
  absl::Status Write(std::string_view data) {
    while (!data.empty()) {
      Discard();
      const ssize_t n = ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n > 0) {
        data.remove_prefix(static_cast<std::size_t>(n));
      } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
        return absl::UnavailableError(fmt::format("publisher: send: {}", std::strerror(errno)));
      } else {
        pollfd wait{fd_, POLLIN | POLLOUT, 0};
        ::poll(&wait, 1, 1000);
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> ReadHeader() {
    std::string header;
    char c;
    while (!header.ends_with("\r\n\r\n")) {
      if (::recv(fd_, &c, 1, 0) != 1) return absl::UnavailableError("publisher: no answer");
      header.push_back(c);
    }
    return header;
  }

  void Discard() {
    char buffer[65536];
    while (::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT) > 0) {
    }
  }

 private:
  int fd_ = -1;
};

class WebSocketPublisher final : public Publisher {
 public:
  absl::Status Open(const PeerPublishing& how) {
    if (absl::Status bad = connection_.Open(how.port); !bad.ok()) return bad;
    if (absl::Status bad = connection_.Write(UpgradeRequest(how.path, how.port, "")); !bad.ok())
      return bad;
    absl::StatusOr<std::string> answer = connection_.ReadHeader();
    if (!answer.ok()) return answer.status();
    if (!answer->starts_with("HTTP/1.1 101")) {
      return absl::UnavailableError(
          fmt::format("publisher: answered {}", answer->substr(0, answer->find('\r'))));
    }
    return absl::OkStatus();
  }

  absl::Status Publish(std::span<const std::string> payloads) override {
    std::string frames;
    for (const std::string& payload : payloads) frames += MakeClientFrame(1, payload);
    return connection_.Write(frames);
  }

 private:
  Connection connection_;
};

class HttpPublisher final : public Publisher {
 public:
  explicit HttpPublisher(PeerPublishing how) : how_(std::move(how)) {
    head_ = fmt::format("POST {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n", how_.path, how_.port);
    for (const auto& [name, value] : how_.headers) head_ += fmt::format("{}: {}\r\n", name, value);
  }
  absl::Status Open() { return connection_.Open(how_.port); }

  absl::Status Publish(std::span<const std::string> payloads) override {
    std::string requests;
    for (const std::string& payload : payloads) {
      const std::string escaped = absl::StrReplaceAll(payload, {{"\\", "\\\\"}, {"\"", "\\\""}});
      const std::string body =
          absl::StrReplaceAll(how_.body, {{"%PAYLOAD_ESCAPED%", escaped}, {"%PAYLOAD%", payload}});
      requests += fmt::format("{}Content-Length: {}\r\n\r\n{}", head_, body.size(), body);
    }
    return connection_.Write(requests);
  }

 private:
  const PeerPublishing how_;
  std::string head_;
  Connection connection_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Publisher>> MakePeerPublisher(const PeerPublishing& how) {
  if (how.http) {
    auto publisher = std::make_unique<HttpPublisher>(how);
    if (absl::Status bad = publisher->Open(); !bad.ok()) return bad;
    return publisher;
  }
  auto publisher = std::make_unique<WebSocketPublisher>();
  if (absl::Status bad = publisher->Open(how); !bad.ok()) return bad;
  return publisher;
}

}  // namespace herald::bench
