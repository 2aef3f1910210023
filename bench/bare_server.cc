#include "bench/bare_server.h"

#include <liburing.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bench/loopback.h"
#include "fmt/format.h"
#include "session/frame.h"

namespace herald::bench {
namespace {

// RFC 6455 §4.2.2.
std::string UpgradeAnswer(std::string_view request) {
  constexpr std::string_view kKey = "Sec-WebSocket-Key: ";
  const std::size_t at = request.find(kKey);
  if (at == std::string_view::npos) return "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
  std::string key(request.substr(at + kKey.size(), 24));
  key += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest;
  SHA1(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
  std::array<unsigned char, 32> accept;
  EVP_EncodeBlock(accept.data(), digest.data(), digest.size());
  return fmt::format(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: {}\r\n\r\n",
      reinterpret_cast<const char*>(accept.data()));
}

// Around each payload, so that a frame is as long as Herald's.
constexpr std::string_view kBefore =
    R"({"message":{"topic":"load","as_long_as_an_id_and_a_time":"0123456789abcdefghijklmnopqrstuvwxyz01234","data":)";
constexpr std::string_view kAfter = "}}";

// Takes the payloads of all whole client frames out of `in`, and appends them to `out` as server
// frames. Frames as the load generator makes them: small, whole, masked with zero.
void Reframe(std::string& in, std::string& out) {
  std::size_t done = 0;
  for (;;) {
    const std::string_view rest = std::string_view(in).substr(done);
    if (rest.size() < 6) break;
    std::size_t size = static_cast<std::uint8_t>(rest[1]) & 127;
    std::size_t header = 6;
    if (size == 126) {
      if (rest.size() < 8) break;
      size = static_cast<std::size_t>(static_cast<std::uint8_t>(rest[2])) << 8 |
             static_cast<std::uint8_t>(rest[3]);
      header = 8;
    }
    if (rest.size() < header + size) break;
    AppendFrameHeader(Opcode::kText, kBefore.size() + size + kAfter.size(), out);
    out.append(kBefore);
    out.append(rest.substr(header, size));
    out.append(kAfter);
    done += header + size;
  }
  in.erase(0, done);
}

// One `send` each.
void SendToEach(std::span<const int> subscribers, const std::string& frames) {
  for (const int subscriber : subscribers)
    (void)!::send(subscriber, frames.data(), frames.size(), MSG_NOSIGNAL);
}

// The same with a system call for kEntries of them.
class Ring {
 public:
  // False if the kernel does not let us.
  bool Open() {
    return ::io_uring_queue_init(kEntries, &ring_,
                                 IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN) == 0;
  }

  void SendToEach(std::span<const int> subscribers, const std::string& frames) {
    while (!subscribers.empty()) {
      const std::size_t count = std::min<std::size_t>(subscribers.size(), kEntries);
      for (const int subscriber : subscribers.first(count)) {
        ::io_uring_prep_send(::io_uring_get_sqe(&ring_), subscriber, frames.data(), frames.size(),
                             MSG_NOSIGNAL);
      }
      for (std::size_t done = 0; done < count;) {
        const int error = ::io_uring_submit_and_wait(&ring_, static_cast<unsigned>(count - done));
        if (error < 0 && error != -EINTR) {
          std::fprintf(stderr, "bare_io_uring: %s\n", std::strerror(-error));
          std::exit(1);
        }
        const unsigned ready = ::io_uring_cq_ready(&ring_);
        ::io_uring_cq_advance(&ring_, ready);
        done += ready;
      }
      subscribers = subscribers.subspan(count);
    }
  }

 private:
  static constexpr unsigned kEntries = 1024;
  io_uring ring_{};
};

}  // namespace

int ServeBare(int port, bool io_uring) {
  Ring ring;
  if (io_uring && !ring.Open()) {
    std::fprintf(stderr, "bare_io_uring: io_uring is refused here\n");
    return 1;
  }
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const sockaddr_in address = Loopback(port);
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener, 4096) != 0) {
    std::perror("bare: cannot listen");
    return 1;
  }
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  const auto watch = [&](int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  };
  watch(listener);
  std::vector<int> subscribers;
  std::unordered_map<int, std::string> publishers;  // and what has been read of them
  std::array<char, 65536> buffer;
  std::string frames;
  for (;;) {
    epoll_event event;
    if (::epoll_wait(epoll, &event, 1, -1) != 1) continue;
    const int fd = event.data.fd;
    if (fd == listener) {
      const int client = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) continue;
      ::setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      watch(client);
      continue;
    }
    const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (n <= 0) {
      std::erase(subscribers, fd);
      publishers.erase(fd);
      ::close(fd);
      continue;
    }
    const std::string_view data(buffer.data(), static_cast<std::size_t>(n));
    if (const auto publisher = publishers.find(fd); publisher != publishers.end()) {
      publisher->second.append(data);
      frames.clear();
      Reframe(publisher->second, frames);
      if (io_uring) {
        ring.SendToEach(subscribers, frames);
      } else {
        SendToEach(subscribers, frames);
      }
    } else if (data.starts_with("GET /")) {
      const std::string answer = UpgradeAnswer(data);
      (void)!::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
      if (data.starts_with("GET /pub")) {
        publishers[fd];
      } else {
        subscribers.push_back(fd);
      }
    }
  }
}

}  // namespace herald::bench
