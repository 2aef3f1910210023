#include "app/admin_connection.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/verb.hpp>
#include <chrono>
#include <string>

#include "fmt/format.h"

namespace herald {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t kMaxHeaderBytes = 8 * 1024;
constexpr std::size_t kReadBytes = 1024;
constexpr std::chrono::seconds kHeaderTimeout{10};
constexpr std::chrono::seconds kAnswerTimeout{5};
// What is read away behind an answer, such as a body: closing before would reset the connection,
// and the client might not see its answer.
constexpr std::chrono::seconds kLingerTimeout{1};
constexpr std::size_t kLingerBytes = 64 * 1024;

class Connection final : public AdminConnection, public std::enable_shared_from_this<Connection> {
 public:
  Connection(tcp::socket socket, std::shared_ptr<const AdminServer::Handlers> handlers)
      : socket_(std::move(socket)),
        timer_(socket_.get_executor()),
        handlers_(std::move(handlers)) {}

  void Start() {
    Expect(kHeaderTimeout);
    ReadHead();
  }

  void Close() override {
    state_ = State::kEnded;
    timer_.cancel();
    error_code ignored;
    socket_.close(ignored);
  }

 private:
  enum class State { kReading, kAnswering, kEnded };

  // Whatever is under way must be done by then.
  void Expect(std::chrono::seconds within) {
    timer_.expires_after(within);
    timer_.async_wait([self = shared_from_this()](error_code cancelled) {
      if (cancelled || self->timer_.expiry() > asio::steady_timer::clock_type::now()) return;
      if (self->state_ != State::kReading) return self->Close();
      error_code ignored;
      self->socket_.cancel(ignored);
      self->Refuse(RefusalReason::kTimeout, "the request header was not complete in time");
    });
  }

  void ReadHead() {
    const std::size_t have = bytes_.size();
    bytes_.resize(have + kReadBytes);
    socket_.async_read_some(asio::buffer(bytes_.data() + have, kReadBytes),
                            [self = shared_from_this(), have](error_code error, std::size_t n) {
                              self->bytes_.resize(have + n);
                              self->OnBytes(error);
                            });
  }

  void OnBytes(error_code error) {
    if (state_ != State::kReading) return;  // timed out meanwhile
    if (error == asio::error::eof && !bytes_.empty())
      return Refuse(RefusalReason::kMalformed, "the request ends within its header");
    if (error) return Close();
    switch (scanner_.Scan(bytes_, kMaxHeaderBytes)) {
      case HeadScanner::State::kMore:
        return ReadHead();
      case HeadScanner::State::kComplete:
        return OnHead();
      case HeadScanner::State::kTooLarge:
        return Refuse(RefusalReason::kHeaderTooLarge,
                      fmt::format("the request header is over {} bytes", kMaxHeaderBytes));
      case HeadScanner::State::kMalformed:
        return Refuse(RefusalReason::kMalformed,
                      "bad request: this is no HTTP/1.1, or a line does not end with CR LF");
    }
  }

  void OnHead() {
    Refusal refusal;
    const std::optional<HttpRequest> request = ParseHead(
        std::string_view(bytes_).substr(scanner_.begin(), scanner_.end() - scanner_.begin()),
        refusal);
    if (!request) return Respond(AnswerRefusal(refusal));
    more_may_come_ = HasBody(*request) || bytes_.size() > scanner_.end();
    head_ = request->method() == http::verb::head;
    Respond(AnswerAdmin(*request, *handlers_));
  }

  void Refuse(RefusalReason reason, std::string text) {
    Respond(AnswerRefusal({reason, std::move(text), {}}));
  }

  void Respond(const HttpAnswer& answer) {
    state_ = State::kAnswering;
    response_ = answer.ToWire(head_);
    Expect(kAnswerTimeout);
    asio::async_write(socket_, asio::buffer(response_),
                      [self = shared_from_this()](error_code error, std::size_t) {
                        if (error || !self->more_may_come_) return self->Close();
                        error_code ignored;
                        self->socket_.shutdown(tcp::socket::shutdown_send, ignored);
                        self->bytes_.resize(kReadBytes);
                        self->Expect(kLingerTimeout);
                        self->Linger(kLingerBytes);
                      });
  }

  void Linger(std::size_t bytes_left) {
    socket_.async_read_some(asio::buffer(bytes_), [self = shared_from_this(), bytes_left](
                                                      error_code error, std::size_t n) {
      if (error || n >= bytes_left) return self->Close();
      self->Linger(bytes_left - n);
    });
  }

  tcp::socket socket_;
  asio::steady_timer timer_;
  const std::shared_ptr<const AdminServer::Handlers> handlers_;
  State state_ = State::kReading;
  std::string bytes_;
  HeadScanner scanner_;
  std::string response_;
  bool more_may_come_ = true;  // of the request: its head has not ended, or it has a body
  bool head_ = false;          // the method is HEAD
};

}  // namespace

HttpAnswer AnswerAdmin(const HttpRequest& request, const AdminServer::Handlers& handlers) {
  constexpr std::string_view kAllow = "GET, HEAD, OPTIONS";
  const std::string_view path = PathOf(request);
  if (path == "*") return AnswerOptions(kAllow);
  if (path != "/healthz" && path != "/readyz" && path != "/metrics") {
    return AnswerRefusal(
        {RefusalReason::kNotFound, "there are /healthz, /readyz and /metrics", {}});
  }
  if (request.method() == http::verb::options) return AnswerOptions(kAllow);
  if (request.method() != http::verb::get && request.method() != http::verb::head)
    return AnswerRefusal({RefusalReason::kMethod, "use GET", {}, kAllow});
  if (path == "/metrics") {
    return {
        200, {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}}, handlers.metrics()};
  }
  const std::string not_ready = path == "/readyz" ? handlers.not_ready() : "";
  return {not_ready.empty() ? 200 : 503,
          {{"Content-Type", "text/plain; charset=utf-8"}},
          (not_ready.empty() ? "ok" : not_ready) + "\n"};
}

std::weak_ptr<AdminConnection> AdminConnection::Start(
    tcp::socket socket, std::shared_ptr<const AdminServer::Handlers> handlers) {
  const auto connection = std::make_shared<Connection>(std::move(socket), std::move(handlers));
  connection->Start();
  return connection;
}

}  // namespace herald
