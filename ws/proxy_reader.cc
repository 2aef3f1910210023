#include "ws/proxy_reader.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <string>

#include "session/shard.h"
#include "ws/http_connection.h"
#include "ws/proxy_header.h"
#include "ws/refuse.h"

namespace herald {
namespace {

using boost::system::error_code;

class ProxyReader final : public std::enable_shared_from_this<ProxyReader>, private Timer {
 public:
  ProxyReader(FrontEnd& front_end, Shard& shard, TcpSocket socket, const ClientEndpoint& peer,
              Admission::Ticket ticket)
      : front_end_(front_end),
        shard_(shard),
        socket_(std::move(socket)),
        peer_(peer),
        ticket_(std::move(ticket)) {}

  void Start() {
    const bool stays = ticket_.SetOwner(weak_from_this(),
                                        [](void* self) { static_cast<ProxyReader*>(self)->End(); });
    if (!stays) return;
    shard_.timers().Schedule(*this, front_end_.options->limits.handshake_timeout);
    Wait();
  }

 private:
  void OnTimer() override { End(); }
  void End() {
    shard_.timers().Cancel(*this);
    error_code ignored;
    socket_.close(ignored);
  }

  void Wait() {
    socket_.async_wait(TcpSocket::wait_read, [self = shared_from_this()](error_code error) {
      if (!error && self->socket_.is_open()) self->OnReadable();
    });
  }

  void OnReadable() {
    // Only the header is taken from the socket: TLS reads the descriptor itself.
    std::array<char, ProxyHeader::kMaxBytesV2> bytes;
    const ssize_t n = ::recv(socket_.native_handle(), bytes.data(), bytes.size() - held_.size(),
                             MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return Wait();
    if (n <= 0) return End();
    const std::string all = held_ + std::string(bytes.data(), static_cast<std::size_t>(n));
    const ProxyHeader header = ParseProxyHeader(all);
    switch (header.state) {
      case ProxyHeader::State::kBad:
        front_end_.bad_proxy_headers.fetch_add(1, std::memory_order_relaxed);
        return Refuse(header.error);
      case ProxyHeader::State::kNeedMore:
        Take(static_cast<std::size_t>(n));
        held_ = all;
        return Wait();
      case ProxyHeader::State::kAbsent:
        if (front_end_.options->proxy_protocol == ProxyProtocol::kRequired) {
          front_end_.bad_proxy_headers.fetch_add(1, std::memory_order_relaxed);
          return Refuse("a PROXY header is required from this address; see --proxy_protocol");
        }
        return Go(peer_);
      case ProxyHeader::State::kComplete:
        Take(header.size - held_.size());
        held_.clear();
        return Go(header.source.value_or(peer_));
    }
  }

  void Take(std::size_t bytes) {
    std::array<char, ProxyHeader::kMaxBytesV2> taken;
    (void)::recv(socket_.native_handle(), taken.data(), bytes, MSG_DONTWAIT);
  }

  void Refuse(const char* reason) {
    shard_.timers().Cancel(*this);
    RefuseAtOnce(socket_, front_end_.tls != nullptr, {RefusalReason::kMalformed, reason, {}});
  }

  void Go(const ClientEndpoint& client) {
    shard_.timers().Cancel(*this);
    if (client != peer_) {
      const auto verdict = ticket_.SetAddress(client.address.key(), MonotonicNanos());
      if (verdict != Admission::Verdict::kAdmitted)
        return RefuseAtOnce(socket_, front_end_.tls != nullptr, RefusalOf(verdict));
    }
    StartHttpConnection(front_end_, shard_, std::move(socket_), client, std::move(ticket_),
                        std::move(held_));
  }

  FrontEnd& front_end_;
  Shard& shard_;
  TcpSocket socket_;
  const ClientEndpoint peer_;
  Admission::Ticket ticket_;
  std::string held_;  // taken from the socket, and may be the beginning of a header
};

}  // namespace

void ReadProxyHeader(FrontEnd& front_end, Shard& shard, TcpSocket socket,
                     const ClientEndpoint& peer, Admission::Ticket ticket) {
  std::make_shared<ProxyReader>(front_end, shard, std::move(socket), peer, std::move(ticket))
      ->Start();
}

}  // namespace herald
