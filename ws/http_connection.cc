#include "ws/http_connection.h"

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <optional>

#include "absl/time/clock.h"
#include "fmt/format.h"
#include "ws/assets.h"
#include "ws/handshake.h"
#include "ws/session_meter.h"
#include "ws/ws_session.h"

namespace herald {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using beast::error_code;

class HttpConnection final : public std::enable_shared_from_this<HttpConnection>, private Timer {
 public:
  HttpConnection(FrontEnd& front_end, Shard& shard, ClientSocket socket,
                 const asio::ip::tcp::endpoint& peer)
      : front_end_(front_end), shard_(shard), socket_(std::move(socket)), peer_(peer) {}

  void Start() {
    shard_.timers().Schedule(*this, front_end_.options->limits.handshake_timeout);
    if (front_end_.tls == nullptr) return ReadHeader();
    securing_ = true;
    socket_.StartTls(front_end_.tls->NewConnection(),
                     [self = shared_from_this()](error_code error) { self->OnSecured(error); });
  }

 private:
  using Response = http::response<http::string_body>;

  void ReadHeader() {
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(front_end_.options->limits.max_header_bytes));
    http::async_read_header(
        socket_, buffer_, *parser_,
        [self = shared_from_this()](error_code error, std::size_t) { self->OnHeader(error); });
  }

  void OnSecured(error_code error);
  void CountTls(TlsResult result);
  void OnHeader(error_code error);
  void OnUpgrade();
  void OnPage(const UpgradeRequest& request);
  void Refuse(http::status status, std::string reason);
  void Respond(Response response);
  void Linger();
  void OnTimer() override;

  FrontEnd& front_end_;
  Shard& shard_;
  ClientSocket socket_;
  const asio::ip::tcp::endpoint peer_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::empty_body>> parser_;
  std::optional<Response> response_;
  bool head_ = false;
  bool securing_ = false;  // the TLS handshake has not ended
};

void HttpConnection::CountTls(TlsResult result) {
  securing_ = false;
  front_end_.tls_handshakes[static_cast<int>(result)].fetch_add(1, std::memory_order_relaxed);
}

void HttpConnection::OnSecured(error_code error) {
  if (!securing_) return;  // timed out meanwhile
  if (!error) {
    CountTls(TlsResult::kDone);
    return ReadHeader();
  }
  const bool closed = error == asio::error::eof || error == asio::error::connection_reset;
  CountTls(closed ? TlsResult::kClosed : TlsResult::kFailed);
  if (TlsStream::IsPlainHttp(error)) {
    socket_.DropTls();
    return Refuse(http::status::bad_request, "this port speaks TLS: use https:// or wss://");
  }
  shard_.timers().Cancel(*this);
  socket_.close(error);
}

void HttpConnection::OnTimer() {
  auto self = shared_from_this();
  if (securing_) CountTls(TlsResult::kTimeout);
  if (response_ || !parser_ || !socket_.is_open()) {
    // The answer was not taken in time, or there is nobody yet to answer to.
    error_code ignored;
    socket_.close(ignored);
    return;
  }
  error_code ignored;
  socket_.cancel(ignored);
  Refuse(http::status::request_timeout, "the request header was not complete in time");
}

void HttpConnection::OnHeader(error_code error) {
  if (response_) return;  // timed out meanwhile
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return Refuse(http::status::request_header_fields_too_large,
                  fmt::format("the request header is over {} bytes",
                              front_end_.options->limits.max_header_bytes));
  }
  if (error == http::error::end_of_stream || error == asio::error::connection_reset ||
      error == asio::error::operation_aborted || error == http::error::partial_message) {
    shard_.timers().Cancel(*this);
    return;
  }
  if (error)
    return Refuse(http::status::bad_request, fmt::format("bad request: {}", error.message()));
  const UpgradeRequest& request = parser_->get();
  head_ = request.method() == http::verb::head;
  std::string_view path(request.target().data(), request.target().size());
  path = path.substr(0, path.find('?'));
  if (path == "/ws") {
    if (request.method() != http::verb::get)
      return Refuse(http::status::method_not_allowed, "use GET");
    return OnUpgrade();
  }
  OnPage(request);
}

void HttpConnection::OnUpgrade() {
  if (front_end_.draining)
    return Refuse(http::status::service_unavailable, "this replica is about to end");
  if (front_end_.memory_full)
    return Refuse(http::status::service_unavailable, "no memory for more sessions");
  const std::string ip = peer_.address().to_string();
  switch (front_end_.admission.Admit(ip, absl::Now())) {
    case Admission::Verdict::kAdmitted:
      break;
    case Admission::Verdict::kFull:
      return Refuse(http::status::service_unavailable,
                    "this replica has as many sessions as it may");
    case Admission::Verdict::kTooFast:
      return Refuse(http::status::service_unavailable, "too many handshakes a second");
    case Admission::Verdict::kTooManyFromAddress:
      return Refuse(http::status::too_many_requests, "this address has as many sessions as it may");
  }
  AddressTable::Ref address;
  if (const auto parsed = ClientAddress::Parse(ip))
    address = front_end_.addresses.Find(parsed->key(), MonotonicNanos());
  const SessionMeter::Payers payers{front_end_.options->limits, front_end_.user_rates, "",
                                    address.get()};
  if (const auto over = SessionMeter::MayOpen(payers, MonotonicNanos())) {
    front_end_.admission.Release(ip);
    front_end_.CountRateLimited(*over);
    return Refuse(http::status::too_many_requests, Describe(*over, payers.limits));
  }
  Refusal refusal;
  absl::StatusOr<UpgradeDetails> details =
      CheckUpgrade(front_end_, parser_->get(), absl::Now(), refusal);
  if (!details.ok()) {
    front_end_.admission.Release(ip);
    return Refuse(refusal.status, std::move(refusal.reason));
  }
  details->remote_address = peer_.address().is_v6() ? fmt::format("[{}]:{}", ip, peer_.port())
                                                    : fmt::format("{}:{}", ip, peer_.port());
  details->address = std::move(address);
  details->request = std::make_unique<const UpgradeRequest>(parser_->release());
  front_end_.handshakes_accepted.fetch_add(1, std::memory_order_relaxed);
  shard_.timers().Cancel(*this);
  const auto rest = buffer_.data();
  StartWsSession(front_end_, shard_, std::move(socket_), *std::move(details),
                 std::string(static_cast<const char*>(rest.data()), rest.size()));
}

void HttpConnection::OnPage(const UpgradeRequest& request) {
  std::string_view path(request.target().data(), request.target().size());
  path = path.substr(0, path.find('?'));
  const bool sdk = path == kSdkPath;
  const Asset* asset = sdk || front_end_.options->enable_demo ? FindAsset(path) : nullptr;
  if (asset == nullptr)
    return Refuse(http::status::not_found, "there is nothing here; clients connect to /ws");
  if (request.method() != http::verb::get && request.method() != http::verb::head) {
    return Refuse(http::status::method_not_allowed, "use GET");
  }
  Response response{http::status::ok, 11};
  response.set(http::field::etag, beast::string_view(asset->etag.data(), asset->etag.size()));
  if (sdk) {
    // Pages of other origins import it too; whether they may connect is decided at /ws.
    response.set(http::field::cache_control, "public, max-age=300, must-revalidate");
    response.set(http::field::access_control_allow_origin, "*");
    response.set("Cross-Origin-Resource-Policy", "cross-origin");
  } else {
    response.set(http::field::cache_control, "no-cache");
    response.set("Content-Security-Policy", "default-src 'self'");
  }
  response.set("X-Content-Type-Options", "nosniff");
  const auto known = request[http::field::if_none_match];
  if (std::string_view(known.data(), known.size()) == asset->etag) {
    response.result(http::status::not_modified);
    return Respond(std::move(response));
  }
  response.set(http::field::content_type,
               beast::string_view(asset->content_type.data(), asset->content_type.size()));
  response.body() = std::string(asset->body);
  Respond(std::move(response));
}

void HttpConnection::Refuse(http::status status, std::string reason) {
  front_end_.handshakes_refused.fetch_add(1, std::memory_order_relaxed);
  Response response{status, 11};
  response.set(http::field::content_type, "text/plain; charset=utf-8");
  response.body() = std::move(reason) + "\n";
  switch (status) {
    case http::status::method_not_allowed:
      response.set(http::field::allow, "GET");
      break;
    case http::status::upgrade_required:
      response.set(http::field::upgrade, "websocket");
      response.set(http::field::sec_websocket_version, "13");
      break;
    case http::status::service_unavailable:
    case http::status::too_many_requests:
      // Spread, so that those refused together do not come back together.
      response.set(http::field::retry_after,
                   fmt::format("{}", 1 + absl::GetCurrentTimeNanos() / 1000 % 10));
      break;
    case http::status::unauthorized:
      response.set(http::field::www_authenticate, "Bearer");
      break;
    default:
      break;
  }
  Respond(std::move(response));
}

void HttpConnection::Respond(Response response) {
  response.set(http::field::server, "herald");
  response.keep_alive(false);
  response.prepare_payload();
  if (response.result() == http::status::upgrade_required)
    response.set(http::field::connection, "close, Upgrade");
  response_ = std::move(response);
  if (head_) response_->body().clear();
  shard_.timers().Schedule(*this, absl::Seconds(5));
  http::async_write(socket_, *response_,
                    [self = shared_from_this()](error_code error, std::size_t) {
                      if (error) return self->shard_.timers().Cancel(*self);
                      self->Linger();
                    });
}

// Closing with unread bytes would send a reset, and the client might never see the answer: read
// them away first.
void HttpConnection::Linger() {
  socket_.ShutdownSend();
  buffer_.clear();
  socket_.async_read_some(buffer_.prepare(4096),
                          [self = shared_from_this()](error_code error, std::size_t) {
                            if (!error) return self->Linger();
                            self->shard_.timers().Cancel(*self);
                            error_code ignored;
                            self->socket_.close(ignored);
                          });
}

}  // namespace

void StartHttpConnection(FrontEnd& front_end, Shard& shard, TcpSocket socket,
                         const asio::ip::tcp::endpoint& peer) {
  std::make_shared<HttpConnection>(front_end, shard, ClientSocket(std::move(socket)), peer)
      ->Start();
}

}  // namespace herald
