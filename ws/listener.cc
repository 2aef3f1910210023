#include "ws/listener.h"

#include <sys/socket.h>

#include <boost/asio/basic_socket_acceptor.hpp>

#include "fmt/format.h"
#include "ws/accept_errors.h"
#include "ws/http_connection.h"
#include "ws/proxy_reader.h"
#include "ws/refuse.h"

namespace herald {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using TcpAcceptor = asio::basic_socket_acceptor<tcp, asio::io_context::executor_type>;
using ReusePort = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;

// Connections that may wait to be accepted: as many as the kernel allows (net.core.somaxconn). Past
// it a client's first packet is dropped, and it tries again after a second.
constexpr int kBacklog = 65'535;

// Opens and binds. With `shared`, others of this process may bind the same port.
error_code Bind(TcpAcceptor& acceptor, const tcp::endpoint& endpoint, bool shared) {
  error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error && shared) acceptor.set_option(ReusePort(true), error);
  if (!error) acceptor.bind(endpoint, error);
  return error;
}

std::string Describe(const tcp::endpoint& endpoint) {
  const std::string ip = endpoint.address().to_string();
  return endpoint.address().is_v6() ? fmt::format("[{}]:{}", ip, endpoint.port())
                                    : fmt::format("{}:{}", ip, endpoint.port());
}

ClientEndpoint EndpointOf(const tcp::endpoint& peer) {
  const asio::ip::address& ip = peer.address();
  return {ip.is_v4() ? ClientAddress::FromV4(ip.to_v4().to_bytes())
                     : ClientAddress::FromV6(ip.to_v6().to_bytes()),
          peer.port()};
}

// A connection begins here: it is counted, or refused, before a byte of it is read.
void OnConnection(FrontEnd& front_end, Shard& shard, TcpSocket socket, const tcp::endpoint& from) {
  const ClientEndpoint peer = EndpointOf(from);
  const FrontEndOptions& options = front_end.options.Get();
  if (socket.native_handle() >= options.first_reserved_descriptor) {
    front_end.admission.CountRefused(Admission::Verdict::kDescriptors);
    return RefuseAtOnce(socket, front_end.tls != nullptr,
                        RefusalOf(Admission::Verdict::kDescriptors));
  }
  const bool of_proxy = options.trusted_proxies.Contains(peer.address);
  Admission::Accepted accepted =
      front_end.admission.Accept(peer.address.key(), of_proxy, shard, MonotonicNanos());
  if (!accepted.ticket)
    return RefuseAtOnce(socket, front_end.tls != nullptr, RefusalOf(accepted.verdict));
  if (of_proxy && options.proxy_protocol != ProxyProtocol::kOff)
    return ReadProxyHeader(front_end, shard, std::move(socket), peer, std::move(accepted.ticket));
  StartHttpConnection(front_end, shard, std::move(socket), peer, std::move(accepted.ticket), {});
}

}  // namespace

class Listener::Acceptor : public std::enable_shared_from_this<Listener::Acceptor> {
 public:
  Acceptor(FrontEnd& front_end, Shard& shard)
      : front_end_(front_end),
        shard_(shard),
        acceptor_(shard.io().get_executor()),
        retry_(shard.io()) {}

  TcpAcceptor& socket() { return acceptor_; }
  Shard& shard() { return shard_; }

  void DoAccept() {
    acceptor_.async_accept(peer_, [self = shared_from_this()](error_code error, TcpSocket socket) {
      self->OnAccept(error, std::move(socket));
    });
  }

  void Close() {
    error_code ignored;
    acceptor_.close(ignored);
    retry_.cancel();
  }

 private:
  void OnAccept(error_code error, TcpSocket socket) {
    if (!acceptor_.is_open()) return;
    if (!error) {
      backoff_.Reset();
      OnConnection(front_end_, shard_, std::move(socket), peer_);
      return DoAccept();
    }
    front_end_.accept_errors.Count(error);
    retry_.expires_after(backoff_.Next());
    retry_.async_wait([self = shared_from_this()](error_code cancelled) {
      if (!cancelled && self->acceptor_.is_open()) self->DoAccept();
    });
  }

  FrontEnd& front_end_;
  Shard& shard_;
  TcpAcceptor acceptor_;
  tcp::endpoint peer_;  // of the connection accepted last
  asio::steady_timer retry_;
  AcceptBackoff backoff_;
};

absl::StatusOr<std::unique_ptr<Listener>> Listener::Open(
    FrontEnd& front_end, std::vector<std::unique_ptr<Shard>>& shards, const tcp::endpoint& wanted) {
  std::unique_ptr<Listener> listener(new Listener);
  tcp::endpoint endpoint = wanted;
  {
    // SO_REUSEPORT would share a port with another process of the same user without a word. A bind
    // without it finds such a one.
    TcpAcceptor probe(shards[0]->io().get_executor());
    if (error_code error = Bind(probe, endpoint, /*shared=*/false)) {
      return absl::UnavailableError(
          fmt::format("cannot listen on {}: {}", Describe(wanted), error.message()));
    }
    endpoint = probe.local_endpoint();
  }
  for (auto& shard : shards) {
    auto acceptor = std::make_shared<Acceptor>(front_end, *shard);
    error_code error = Bind(acceptor->socket(), endpoint, /*shared=*/true);
    // Connections have it from their listener, which saves a call for each.
    if (!error) acceptor->socket().set_option(tcp::no_delay(true), error);
    // So are the buffers. The receive buffer must be set before the handshake (tcp(7)).
    if (const int bytes = static_cast<int>(front_end.options->send_buffer_bytes);
        bytes > 0 && !error)
      acceptor->socket().set_option(asio::socket_base::send_buffer_size(bytes), error);
    if (const int bytes = static_cast<int>(front_end.options->receive_buffer_bytes);
        bytes > 0 && !error)
      acceptor->socket().set_option(asio::socket_base::receive_buffer_size(bytes), error);
    if (!error) acceptor->socket().listen(kBacklog, error);
    if (error)
      return absl::UnavailableError(
          fmt::format("cannot listen on {}: {}", Describe(wanted), error.message()));
    listener->acceptors_.push_back(std::move(acceptor));
  }
  listener->endpoint_ = endpoint;
  for (auto& acceptor : listener->acceptors_) {
    acceptor->shard().Post([acceptor] { acceptor->DoAccept(); });
  }
  return listener;
}

Listener::~Listener() { Close(); }

void Listener::Close() {
  for (auto& acceptor : acceptors_) {
    acceptor->shard().Post([acceptor] { acceptor->Close(); });
  }
  acceptors_.clear();
}

}  // namespace herald
