#include "bench/fleet.h"

#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_replace.h"
#include "bench/client_frame.h"
#include "bench/loopback.h"
#include "fmt/format.h"

namespace herald::bench {
namespace {

constexpr std::size_t kBufferBytes = 1 << 20;
constexpr int kClientsAnAddress = 2'000;  // of 28,000 ports: the kernel finds a free one at once
constexpr std::uint64_t kAckIntervalNs = 40'000'000;

}  // namespace

Fleet::Fleet(Entrance entrance)
    : entrance_(std::move(entrance)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      buffer_(kBufferBytes, '\0') {}

Fleet::~Fleet() {
  for (Client& client : clients_) {
    if (client.fd >= 0) ::close(client.fd);
  }
  ::close(epoll_);
}

std::string Fleet::ForClient(std::string_view text, int index) const {
  return absl::StrReplaceAll(absl::string_view(text.data(), text.size()),
                             {{"%d", std::to_string(index)}});
}

absl::Status Fleet::Connect(int count, int at_once, absl::Duration timeout) {
  const int first = size();
  const int wanted = first + count;
  clients_.reserve(static_cast<std::size_t>(wanted));
  const std::uint64_t deadline =
      NowNs() + static_cast<std::uint64_t>(absl::ToInt64Nanoseconds(timeout));
  while (subscribed_ < wanted) {
    while (size() < wanted && connecting_ < at_once) {
      clients_.emplace_back().next = first_seq_;
      if (absl::Status bad = StartConnect(size() - 1); !bad.ok()) return bad;
    }
    Poll(absl::Milliseconds(20));
    if (failures_ > 0) return absl::UnavailableError(errors_.front());
    if (NowNs() > deadline) {
      return absl::DeadlineExceededError(fmt::format("{} of {} subscribers after {}",
                                                     subscribed_ - first, count,
                                                     absl::FormatDuration(timeout)));
    }
  }
  return absl::OkStatus();
}

absl::Status Fleet::StartConnect(int index) {
  Client& client = clients_[static_cast<std::size_t>(index)];
  client.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (client.fd < 0)
    return absl::ResourceExhaustedError(fmt::format("socket: {}", std::strerror(errno)));
  const int on = 1;
  ::setsockopt(client.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(client.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  const sockaddr_in source = Loopback(0, 1 + static_cast<std::uint32_t>(index / kClientsAnAddress));
  if (::bind(client.fd, reinterpret_cast<const sockaddr*>(&source), sizeof source) != 0)
    return absl::UnavailableError(fmt::format("bind: {}", std::strerror(errno)));
  const sockaddr_in server = Loopback(entrance_.port);
  if (::connect(client.fd, reinterpret_cast<const sockaddr*>(&server), sizeof server) != 0 &&
      errno != EINPROGRESS)
    return absl::UnavailableError(fmt::format("connect: {}", std::strerror(errno)));
  ++connecting_;
  epoll_event event{};
  event.events = EPOLLOUT;
  event.data.u32 = static_cast<std::uint32_t>(index);
  ::epoll_ctl(epoll_, EPOLL_CTL_ADD, client.fd, &event);
  return absl::OkStatus();
}

void Fleet::Poll(absl::Duration wait) {
  std::array<epoll_event, 512> events;
  const int n = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()),
                             awake_ ? 0 : static_cast<int>(absl::ToInt64Milliseconds(wait)));
  if (awake_ && n == 0) ::sched_yield();
  for (int i = 0; i < n; ++i) {
    const int index = static_cast<int>(events[static_cast<std::size_t>(i)].data.u32);
    if (clients_[static_cast<std::size_t>(index)].phase == Phase::kConnecting) {
      OnWritable(index);
    } else {
      OnReadable(index);
    }
  }
  if (!ack_due_.empty()) SendAcks();
}

void Fleet::OnWritable(int index) {
  Client& client = clients_[static_cast<std::size_t>(index)];
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(client.fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return Close(index, std::strerror(error));
  const std::string request =
      UpgradeRequest(ForClient(entrance_.path, index), entrance_.port, entrance_.subprotocol);
  client.phase = Phase::kUpgrading;
  if (::send(client.fd, request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size()))
    return Close(index, "the upgrade request was not taken whole");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u32 = static_cast<std::uint32_t>(index);
  ::epoll_ctl(epoll_, EPOLL_CTL_MOD, client.fd, &event);
}

void Fleet::OnReadable(int index) {
  Client& client = clients_[static_cast<std::size_t>(index)];
  if (client.fd < 0) return;
  const std::size_t kept = client.partial.size();
  if (kept > 0) std::memcpy(buffer_.data(), client.partial.data(), kept);
  const ssize_t n = ::recv(client.fd, buffer_.data() + kept, buffer_.size() - kept, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return Close(index, n == 0 ? "the server closed" : std::strerror(errno));
  now_ns_ = NowNs();
  bytes_ += static_cast<std::uint64_t>(n);
  const std::string_view data(buffer_.data(), kept + static_cast<std::size_t>(n));
  const std::size_t done = OnBytes(index, data);
  if (client.fd < 0) return;
  if (done == data.size()) {
    if (kept > 0) client.partial = std::string();
  } else if (data.size() - done > kBufferBytes / 2) {
    Close(index, "a frame of over 512 KiB");
  } else {
    client.partial.assign(data.substr(done));
  }
}

std::size_t Fleet::OnBytes(int index, std::string_view data) {
  Client& client = clients_[static_cast<std::size_t>(index)];
  std::size_t done = 0;
  if (client.phase == Phase::kUpgrading) {
    done = OnUpgradeAnswer(index, data);
    if (done == 0) return 0;
  }
  while (client.fd >= 0) {
    ServerFrame frame;
    const std::size_t size = ReadServerFrame(data.substr(done), frame);
    if (size == 0) break;
    done += size;
    switch (frame.opcode) {
      case 1:
      case 2:
        OnDataFrame(index, frame.payload);
        break;
      case 8:
        Close(index, fmt::format("close frame, code {}: {}", frame.close_code(),
                                 frame.payload.substr(frame.payload.size() < 2 ? 0 : 2)));
        break;
      case 9:
        SendFrame(client, 10, frame.payload);
        break;
      default:
        break;
    }
  }
  return done;
}

std::size_t Fleet::OnUpgradeAnswer(int index, std::string_view data) {
  const std::size_t end = data.find("\r\n\r\n");
  if (end == std::string_view::npos) return 0;
  if (!data.starts_with("HTTP/1.1 101")) {
    Close(index, fmt::format("answered {}", data.substr(0, data.find('\r'))));
    return data.size();
  }
  Client& client = clients_[static_cast<std::size_t>(index)];
  ++open_;
  for (const std::string& text : entrance_.greeting) SendFrame(client, 1, ForClient(text, index));
  if (greeting_) SendFrame(client, 1, greeting_(index));
  client.phase = Phase::kGreeting;
  if (entrance_.greeted == 0) {
    client.phase = Phase::kOpen;
    --connecting_;
    ++subscribed_;
  }
  return end + 4;
}

void Fleet::OnDataFrame(int index, std::string_view payload) {
  Client& client = clients_[static_cast<std::size_t>(index)];
  if (on_frame_) on_frame_(index, payload);
  // Mostly it stands where it stood in the frame before.
  if (payload.size() < mark_at_ + kStampBytes ||
      payload.substr(mark_at_, kStampMark.size()) != kStampMark) {
    const std::size_t at = payload.find(kStampMark);
    if (at == std::string_view::npos) {
      if (client.phase == Phase::kGreeting && ++client.greeted == entrance_.greeted) {
        client.phase = Phase::kOpen;
        --connecting_;
        ++subscribed_;
      }
      return;
    }
    mark_at_ = at;
  }
  std::string_view rest = payload.substr(mark_at_);
  OnMessage(client, index, rest);
  if (!ack_topic_.empty()) {
    client.ack_offset = OffsetOf(payload);
    if (!client.ack_due) {
      client.ack_due = true;
      ack_due_.push_back(index);
    }
  }
  while (entrance_.joined) {
    const std::size_t at = rest.find(kStampMark, kStampBytes);
    if (at == std::string_view::npos) break;
    rest.remove_prefix(at);
    OnMessage(client, index, rest);
  }
}

void Fleet::OnMessage(Client& client, int index, std::string_view at) {
  const std::optional<Stamp> stamp = ReadStamp(at);
  if (!stamp) return Fail(fmt::format("subscriber {}: a stamp that cannot be read", index));
  ++received_;
  latency_.Record(now_ns_ > stamp->sent_ns ? now_ns_ - stamp->sent_ns : 0);
  if (stamp->seq != client.next) {
    Fail(fmt::format("subscriber {}: message {} where {} was expected", index, stamp->seq,
                     client.next));
  }
  client.next = stamp->seq + 1;
}

void Fleet::SendFrame(Client& client, std::uint8_t opcode, std::string_view payload) {
  const std::string frame = MakeClientFrame(opcode, payload);
  if (::send(client.fd, frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT) !=
      static_cast<ssize_t>(frame.size()))
    Fail("a frame of a subscriber was not taken whole");
}

void Fleet::SendAcks() {
  if (now_ns_ < acked_at_ns_ + kAckIntervalNs && NowNs() < acked_at_ns_ + kAckIntervalNs) return;
  acked_at_ns_ = NowNs();
  for (const int index : ack_due_) {
    Client& client = clients_[static_cast<std::size_t>(index)];
    client.ack_due = false;
    if (client.fd < 0) continue;
    SendFrame(client, 1, fmt::format(R"({{"ack":{{"{}":"{}"}}}})", ack_topic_, client.ack_offset));
  }
  ack_due_.clear();
}

void Fleet::StopReading(int first, int count) {
  for (int index = first; index < first + count; ++index) {
    Client& client = clients_[static_cast<std::size_t>(index)];
    ::epoll_ctl(epoll_, EPOLL_CTL_DEL, client.fd, nullptr);
    client.phase = Phase::kStopped;
  }
}

void Fleet::Cut() {
  const linger reset{1, 0};
  for (Client& client : clients_) {
    if (client.fd < 0) continue;
    ::setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    ::close(client.fd);
  }
  clients_.clear();
  open_ = subscribed_ = connecting_ = 0;
}

void Fleet::Close(int index, std::string_view why) {
  Client& client = clients_[static_cast<std::size_t>(index)];
  if (client.phase == Phase::kConnecting || client.phase == Phase::kUpgrading ||
      client.phase == Phase::kGreeting)
    --connecting_;
  else
    --open_;
  ::close(client.fd);
  client.fd = -1;
  client.phase = Phase::kClosed;
  Fail(fmt::format("subscriber {}: {}", index, why));
}

void Fleet::Fail(std::string what) {
  ++failures_;
  if (errors_.size() < 8) errors_.push_back(std::move(what));
}

}  // namespace herald::bench
