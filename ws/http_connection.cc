#include "ws/http_connection.h"

#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/field.hpp>
#include <boost/beast/http/verb.hpp>

#include "absl/time/clock.h"
#include "fmt/format.h"
#include "ws/handshake.h"
#include "ws/host.h"
#include "ws/http_answer.h"
#include "ws/http_request.h"
#include "ws/pages.h"
#include "ws/refuse.h"
#include "ws/session_meter.h"
#include "ws/ws_session.h"

namespace herald {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using beast::error_code;

// Read at a time. Most requests fit, and a connection that says nothing holds no more.
constexpr std::size_t kReadBytes = 1024;
// How long a client may take to receive its answer.
constexpr absl::Duration kAnswerTimeout = absl::Seconds(5);
// What is read away behind an answer, so that it arrives: see Linger.
constexpr absl::Duration kLingerTimeout = absl::Seconds(1);
constexpr std::size_t kLingerBytes = 64 * 1024;

class HttpConnection final : public std::enable_shared_from_this<HttpConnection>, private Timer {
 public:
  HttpConnection(FrontEnd& front_end, Shard& shard, ClientSocket socket, const ClientEndpoint& peer,
                 Admission::Ticket ticket, std::string_view prefix)
      : front_end_(front_end),
        shard_(shard),
        socket_(std::move(socket)),
        peer_(peer),
        ticket_(std::move(ticket)) {
    buffer_.commit(asio::buffer_copy(buffer_.prepare(prefix.size()), asio::buffer(prefix)));
  }

  void Start() {
    const bool stays = ticket_.SetOwner(
        weak_from_this(), [](void* self) { static_cast<HttpConnection*>(self)->Evict(); });
    if (!stays) return;
    if (front_end_.tls != nullptr) {
      const auto verdict = ticket_.BeginTls(MonotonicNanos());
      if (verdict != Admission::Verdict::kAdmitted)
        return RefuseAtOnce(socket_.tcp(), /*tls=*/true, RefusalOf(verdict));
    }
    shard_.timers().Schedule(*this, front_end_.options->limits.handshake_timeout);
    if (front_end_.tls == nullptr) {
      reading_ = true;
      return ScanHead();
    }
    securing_ = true;
    socket_.StartTls(front_end_.tls->NewConnection(),
                     [self = shared_from_this()](error_code error) { self->OnSecured(error); });
  }

 private:
  void OnSecured(error_code error);
  void CountTls(TlsResult result);
  void ReadHead();
  void OnBytes(error_code error, std::size_t n);
  // Looks for the end of the head in what has been read.
  void ScanHead();
  void OnHead();
  void OnUpgrade(HttpRequest request);
  void Refuse(const Refusal& refusal);
  void Refuse(RefusalReason reason, std::string text) { Refuse({reason, std::move(text), {}}); }
  void Respond(const HttpAnswer& answer);
  void OnResponded();
  void Linger(std::size_t bytes_left);
  void Close();
  void OnTimer() override;
  // Another connection needs the place.
  void Evict();
  Admission::Verdict Admit(const HttpRequest& request);

  std::string_view Bytes() const {
    return {static_cast<const char*>(buffer_.data().data()), buffer_.data().size()};
  }

  FrontEnd& front_end_;
  Shard& shard_;
  ClientSocket socket_;
  ClientEndpoint peer_;  // the client's, also behind a trusted proxy
  Admission::Ticket ticket_;
  beast::flat_buffer buffer_;
  HeadScanner scanner_;
  std::string response_;       // not empty once the answer is being sent
  bool reading_ = false;       // the request's head
  bool more_may_come_ = true;  // of the request: its head has not ended, or it has a body
  bool head_ = false;          // the method is HEAD
  bool securing_ = false;      // the TLS handshake has not ended
};

void HttpConnection::CountTls(TlsResult result) {
  securing_ = false;
  front_end_.tls_handshakes[static_cast<int>(result)].fetch_add(1, std::memory_order_relaxed);
  if (result != TlsResult::kDone) ticket_.ChargeTlsFailure(MonotonicNanos());
}

void HttpConnection::Evict() {
  if (securing_) CountTls(TlsResult::kTimeout);
  shard_.timers().Cancel(*this);
  error_code ignored;
  socket_.close(ignored);
}

void HttpConnection::OnSecured(error_code error) {
  if (!securing_) return;  // timed out meanwhile
  if (!error) {
    CountTls(TlsResult::kDone);
    return ReadHead();
  }
  const bool closed = error == asio::error::eof || error == asio::error::connection_reset;
  CountTls(closed ? TlsResult::kClosed : TlsResult::kFailed);
  if (TlsStream::IsPlainHttp(error)) {
    socket_.DropTls();
    return Refuse(RefusalReason::kMalformed, "this port speaks TLS: use https:// or wss://");
  }
  Close();
}

void HttpConnection::OnTimer() {
  auto self = shared_from_this();
  if (securing_) CountTls(TlsResult::kTimeout);
  if (!reading_) return Close();  // the answer was not taken in time, or the TLS handshake failed
  error_code ignored;
  socket_.cancel(ignored);
  Refuse(RefusalReason::kTimeout, "the request header was not complete in time");
}

void HttpConnection::ReadHead() {
  reading_ = true;
  const std::size_t limit = front_end_.options->limits.max_header_bytes;
  const std::size_t room = limit - std::min(limit, buffer_.size());
  socket_.async_read_some(
      buffer_.prepare(std::clamp<std::size_t>(room, 1, kReadBytes)),
      [self = shared_from_this()](error_code error, std::size_t n) { self->OnBytes(error, n); });
}

void HttpConnection::OnBytes(error_code error, std::size_t n) {
  if (!reading_) return;  // timed out meanwhile
  if (error == asio::error::eof && buffer_.size() > 0)
    return Refuse(RefusalReason::kMalformed, "the request ends within its header");
  if (error) return Close();
  buffer_.commit(n);
  ScanHead();
}

void HttpConnection::ScanHead() {
  const std::uint64_t limit = front_end_.options->limits.max_header_bytes;
  switch (scanner_.Scan(Bytes(), limit)) {
    case HeadScanner::State::kMore:
      return ReadHead();
    case HeadScanner::State::kComplete:
      return OnHead();
    case HeadScanner::State::kTooLarge:
      return Refuse(RefusalReason::kHeaderTooLarge,
                    fmt::format("the request header is over {} bytes", limit));
    case HeadScanner::State::kMalformed:
      return Refuse(RefusalReason::kMalformed,
                    "bad request: this is no HTTP/1.1, or a line does not end with CR LF");
  }
}

void HttpConnection::OnHead() {
  const std::string_view head = Bytes().substr(scanner_.begin(), scanner_.end() - scanner_.begin());
  Refusal refusal;
  std::optional<HttpRequest> request = ParseHead(head, refusal);
  buffer_.consume(scanner_.end());
  if (!request) return Refuse(refusal);
  more_may_come_ = HasBody(*request) || buffer_.size() > 0;
  head_ = request->method() == http::verb::head;
  const std::string_view host = FieldOf(*request, http::field::host);
  if (!HostAllowed(front_end_.options->allowed_hosts, host)) {
    return Refuse({RefusalReason::kHost, "this host name is not allowed; see --allowed_hosts",
                   fmt::format("host {}", host.substr(0, 128))});
  }
  if (PathOf(*request) == "/ws") {
    constexpr std::string_view kAllow = "GET, OPTIONS";
    if (request->method() == http::verb::options) return Respond(AnswerOptions(kAllow));
    if (request->method() != http::verb::get)
      return Refuse({RefusalReason::kMethod, "use GET", {}, kAllow});
    return OnUpgrade(*std::move(request));
  }
  const auto page = AnswerPage(*request, front_end_.options->enable_demo, refusal);
  page ? Respond(*page) : Refuse(refusal);
}

void HttpConnection::OnUpgrade(HttpRequest request) {
  if (front_end_.draining) return Refuse(RefusalReason::kDraining, "this replica is about to end");
  if (front_end_.memory != MemoryLevel::kNormal)
    return Refuse(RefusalReason::kMemory, "no memory for more sessions");
  const auto verdict = Admit(request);
  if (verdict != Admission::Verdict::kAdmitted) return Refuse(RefusalOf(verdict));
  const SessionMeter::Payers payers{front_end_.options->limits, front_end_.user_rates, "",
                                    &ticket_.address()};
  if (const auto over = SessionMeter::MayOpen(payers, MonotonicNanos())) {
    front_end_.CountRateLimited(*over);
    return Refuse(RefusalReason::kAddress, Describe(*over, payers.limits));
  }
  const auto token = ticket_.MayShowToken(MonotonicNanos());
  if (token != Admission::Verdict::kAdmitted) return Refuse(RefusalOf(token));
  Refusal refusal;
  absl::StatusOr<UpgradeDetails> details = CheckUpgrade(front_end_, request, absl::Now(), refusal);
  if (!details.ok()) {
    if (!refusal.token.ok())
      front_end_.OnTokenRefused(refusal.token, ticket_, peer_.address.ToString());
    return Refuse(refusal);
  }
  // Without a token it stays among the unauthenticated until its `connect`. A raw client has none.
  if (details->authenticated || details->protocol == Protocol::kRaw) {
    const auto session = ticket_.BecomeSession();
    if (session != Admission::Verdict::kAdmitted) return Refuse(RefusalOf(session));
  }
  details->peer = peer_;
  details->request = std::make_unique<const HttpRequest>(std::move(request));
  front_end_.handshakes_accepted.fetch_add(1, std::memory_order_relaxed);
  shard_.timers().Cancel(*this);
  StartWsSession(front_end_, shard_, std::move(socket_), *std::move(details), std::move(ticket_),
                 std::string(Bytes()));
}

Admission::Verdict HttpConnection::Admit(const HttpRequest& request) {
  const FrontEndOptions& options = front_end_.options.Get();
  if (options.trusted_proxies.Contains(peer_.address)) {
    const auto field = request["X-Forwarded-For"];
    const std::string_view forwarded_for(field.data(), field.size());
    peer_ = options.trusted_proxies.ClientOf(peer_, forwarded_for);
    const auto verdict = ticket_.SetAddress(peer_.address.key(), MonotonicNanos());
    if (verdict != Admission::Verdict::kAdmitted) return verdict;
  }
  if (front_end_.tls == nullptr) {
    const auto verdict = ticket_.ChargeHandshake(MonotonicNanos());
    if (verdict != Admission::Verdict::kAdmitted) return verdict;
  }
  return ticket_.MayBecomeSession();
}

void HttpConnection::Refuse(const Refusal& refusal) {
  front_end_.refusals.Add(refusal, peer_.address.ToString());
  Respond(AnswerRefusal(refusal));
}

void HttpConnection::Respond(const HttpAnswer& answer) {
  reading_ = false;
  response_ = answer.ToWire(head_);
  shard_.timers().Schedule(*this, kAnswerTimeout);
  asio::async_write(socket_, asio::buffer(response_),
                    [self = shared_from_this()](error_code error, std::size_t) {
                      error ? self->Close() : self->OnResponded();
                    });
}

// Closing with bytes of the client unread, or yet to come, sends a reset, and the client might never
// see its answer. So these are read away for a moment. After a whole request none are to come, and a
// client that then stays connected holds nothing here: the kernel delivers the answer.
void HttpConnection::OnResponded() {
  socket_.ShutdownSend();
  if (!more_may_come_) return Close();
  buffer_.clear();
  shard_.timers().Schedule(*this, kLingerTimeout);
  Linger(kLingerBytes);
}

void HttpConnection::Linger(std::size_t bytes_left) {
  socket_.async_read_some(buffer_.prepare(4096),
                          [self = shared_from_this(), bytes_left](error_code error, std::size_t n) {
                            if (error || n >= bytes_left) return self->Close();
                            self->Linger(bytes_left - n);
                          });
}

void HttpConnection::Close() {
  shard_.timers().Cancel(*this);
  error_code ignored;
  socket_.close(ignored);
}

}  // namespace

void StartHttpConnection(FrontEnd& front_end, Shard& shard, TcpSocket socket,
                         const ClientEndpoint& peer, Admission::Ticket ticket, std::string prefix) {
  std::make_shared<HttpConnection>(front_end, shard, ClientSocket(std::move(socket)), peer,
                                   std::move(ticket), prefix)
      ->Start();
}

}  // namespace herald
