#include "broker/nats_server_info.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/json/object.hpp>
#include <cerrno>
#include <charconv>
#include <memory>

#include "absl/time/clock.h"
#include "broker/jetstream_answer.h"

namespace herald {
namespace {

constexpr std::size_t kMaxLine = 64u << 10;

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  Socket(const Socket&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

bool WaitFor(int fd, short events, absl::Time until) {
  pollfd poll_fd{fd, events, 0};
  const auto left = absl::ToInt64Milliseconds(until - absl::Now());
  return left > 0 && poll(&poll_fd, 1, static_cast<int>(left)) == 1;
}

// The first line that the server sends; empty if none comes.
std::string FirstLine(const addrinfo& address, absl::Time until) {
  const Socket socket(::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (socket.fd() < 0) return "";
  if (connect(socket.fd(), address.ai_addr, address.ai_addrlen) != 0 &&
      (errno != EINPROGRESS || !WaitFor(socket.fd(), POLLOUT, until))) {
    return "";
  }
  std::string line;
  while (line.size() < kMaxLine && WaitFor(socket.fd(), POLLIN, until)) {
    char bytes[4096];
    const ssize_t count = recv(socket.fd(), bytes, sizeof(bytes), 0);
    if (count <= 0) return "";
    line.append(bytes, static_cast<std::size_t>(count));
    if (const std::size_t end = line.find('\n'); end != std::string::npos)
      return line.substr(0, end);
  }
  return "";
}

}  // namespace

absl::StatusOr<NatsServerInfo> ParseNatsInfo(std::string_view line) {
  if (!line.starts_with("INFO ")) return absl::UnavailableError("this is no NATS server");
  const boost::json::object info = jetstream::ToJson(line.substr(5));
  return NatsServerInfo{std::string(jetstream::Text(info, "version")),
                        !jetstream::Text(info, "cluster").empty()};
}

absl::StatusOr<NatsServerInfo> AskNatsServer(std::string_view host_and_port,
                                             absl::Duration timeout) {
  const std::size_t colon = host_and_port.rfind(':');
  std::string host(host_and_port.substr(0, colon));
  const std::string port(host_and_port.substr(colon + 1));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0)
    return absl::UnavailableError("the host of the NATS server is not known");
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(found, freeaddrinfo);
  const absl::Time until = absl::Now() + timeout;
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    const std::string line = FirstLine(*address, until);
    if (!line.empty()) return ParseNatsInfo(line);
  }
  return absl::UnavailableError("the NATS server does not say its version");
}

bool OlderThan(std::string_view version, int major, int minor) {
  int its_major = 0, its_minor = 0;
  const char* end = version.data() + version.size();
  const auto [dot, error] = std::from_chars(version.data(), end, its_major);
  if (error != std::errc() || dot == end || *dot != '.') return false;
  if (std::from_chars(dot + 1, end, its_minor).ec != std::errc()) return false;
  return its_major < major || (its_major == major && its_minor < minor);
}

}  // namespace herald
