#include "app/admin_server.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <deque>

#include "fmt/format.h"

namespace herald {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using beast::error_code;

// One request, one answer.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(tcp::socket socket, const AdminServer::Handlers& handlers)
      : stream_(std::move(socket)), handlers_(handlers) {}

  // Another connection needs the place.
  void Close() { stream_.close(); }

  void Start() {
    stream_.expires_after(std::chrono::seconds(10));
    parser_.header_limit(8 * 1024);
    http::async_read(
        stream_, buffer_, parser_,
        [self = shared_from_this()](error_code error, std::size_t) { self->OnRead(error); });
  }

 private:
  void OnRead(error_code error) {
    if (error) return;
    const auto& request = parser_.get();
    response_.version(11);
    response_.keep_alive(false);
    response_.set(http::field::server, "herald");
    response_.set(http::field::content_type, "text/plain; charset=utf-8");
    const std::string path(request.target().substr(0, request.target().find('?')));
    if (path != "/healthz" && path != "/readyz" && path != "/metrics") {
      response_.result(http::status::not_found);
      response_.body() = "there are /healthz, /readyz and /metrics\n";
    } else if (request.method() != http::verb::get && request.method() != http::verb::head) {
      response_.result(http::status::method_not_allowed);
      response_.set(http::field::allow, "GET, HEAD");
      response_.body() = "use GET\n";
    } else if (path == "/metrics") {
      response_.set(http::field::content_type, "text/plain; version=0.0.4; charset=utf-8");
      response_.body() = handlers_.metrics();
    } else {
      const std::string not_ready = path == "/readyz" ? handlers_.not_ready() : "";
      response_.result(not_ready.empty() ? http::status::ok : http::status::service_unavailable);
      response_.body() = not_ready.empty() ? "ok\n" : not_ready + "\n";
    }
    response_.prepare_payload();
    if (request.method() == http::verb::head) response_.body().clear();
    http::async_write(stream_, response_, [self = shared_from_this()](error_code, std::size_t) {
      error_code ignored;
      self->stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    });
  }

  beast::tcp_stream stream_;
  const AdminServer::Handlers& handlers_;
  beast::flat_buffer buffer_{16 * 1024};
  http::request_parser<http::empty_body> parser_;
  http::response<http::string_body> response_;
};

}  // namespace

class AdminServer::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& io, Handlers handlers, AcceptErrors& errors)
      : handlers_(std::move(handlers)), errors_(errors), acceptor_(io), retry_(io) {}

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
      if (!self->acceptor_.is_open()) return;
      if (error) return self->Pause(error);
      self->backoff_.Reset();
      auto connection = std::make_shared<Connection>(std::move(socket), self->handlers_);
      self->Remember(connection);
      connection->Start();
      self->DoAccept();
    });
  }
  void Close() {
    error_code ignored;
    acceptor_.close(ignored);
    retry_.cancel();
  }
  tcp::endpoint endpoint() const { return acceptor_.local_endpoint(); }

 private:
  void Pause(error_code error) {
    errors_.Count(error);
    retry_.expires_after(backoff_.Next());
    retry_.async_wait([self = shared_from_this()](error_code cancelled) {
      if (!cancelled && self->acceptor_.is_open()) self->DoAccept();
    });
  }

  // Closes the oldest connection if there are too many: a new one gets its answer at once, whoever
  // holds the others.
  void Remember(const std::shared_ptr<Connection>& connection) {
    std::erase_if(open_, [](const auto& one) { return one.expired(); });
    if (open_.size() >= AdminServer::kMaxConnections) {
      if (const auto oldest = open_.front().lock()) oldest->Close();
      open_.pop_front();
    }
    open_.push_back(connection);
  }

  const Handlers handlers_;
  AcceptErrors& errors_;
  tcp::acceptor acceptor_;
  asio::steady_timer retry_;
  AcceptBackoff backoff_;
  std::deque<std::weak_ptr<Connection>> open_;  // the oldest first
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
