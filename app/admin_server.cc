#include "app/admin_server.h"

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <list>

#include "app/admin_connection.h"
#include "fmt/format.h"

namespace herald {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

}  // namespace

class AdminServer::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& io, Handlers handlers, AcceptErrors& errors)
      : handlers_(std::make_shared<const Handlers>(std::move(handlers))),
        errors_(errors),
        acceptor_(io),
        retry_(io) {}

  absl::Status Open(const tcp::endpoint& endpoint) {
    error_code error;
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (!error) return absl::OkStatus();
    const std::string ip = endpoint.address().to_string();
    return absl::UnavailableError(fmt::format("cannot listen on {}:{} (admin_addr): {}", ip,
                                              endpoint.port(), error.message()));
  }

  void DoAccept() {
    acceptor_.async_accept([self = shared_from_this()](error_code error, tcp::socket socket) {
      self->OnAccept(error, std::move(socket));
    });
  }

  void Close() {
    error_code ignored;
    acceptor_.close(ignored);
    retry_.cancel();
  }
  tcp::endpoint endpoint() const { return acceptor_.local_endpoint(); }

 private:
  void OnAccept(error_code error, tcp::socket socket) {
    if (!acceptor_.is_open()) return;
    if (!error) {
      backoff_.Reset();
      MakeRoom();
      connections_.push_back(AdminConnection::Start(std::move(socket), handlers_));
      return DoAccept();
    }
    errors_.Count(error);
    retry_.expires_after(backoff_.Next());
    retry_.async_wait([self = shared_from_this()](error_code cancelled) {
      if (!cancelled && self->acceptor_.is_open()) self->DoAccept();
    });
  }

  // For one more connection.
  void MakeRoom() {
    connections_.remove_if([](const auto& connection) { return connection.expired(); });
    if (connections_.size() < AdminServer::kMaxConnections) return;
    if (const auto oldest = connections_.front().lock()) oldest->Close();
    connections_.pop_front();
  }

  const std::shared_ptr<const Handlers> handlers_;
  AcceptErrors& errors_;
  tcp::acceptor acceptor_;
  asio::steady_timer retry_;
  AcceptBackoff backoff_;
  std::list<std::weak_ptr<AdminConnection>> connections_;  // the oldest first
};

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Open(asio::io_context& io,
                                                               const tcp::endpoint& endpoint,
                                                               Handlers handlers,
                                                               AcceptErrors& errors) {
  auto impl = std::make_shared<Impl>(io, std::move(handlers), errors);
  if (absl::Status status = impl->Open(endpoint); !status.ok()) return status;
  impl->DoAccept();
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(impl)));
}

AdminServer::~AdminServer() { impl_->Close(); }

tcp::endpoint AdminServer::endpoint() const { return impl_->endpoint(); }

}  // namespace herald
