#include "ws/https_get.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "fmt/format.h"

namespace herald {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;

using Answer = absl::StatusOr<HttpsAnswer>;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr std::uint32_t kMaxHeaderBytes = 16 * 1024;

absl::Status Unreachable(std::string_view what, const error_code& error) {
  return absl::UnavailableError(fmt::format("{}: {}", what, error.message()));
}

// RFC 9111 §5.2.2.1: whole seconds.
std::optional<absl::Duration> MaxAge(std::string_view cache_control) {
  for (const absl::string_view part :
       absl::StrSplit(absl::string_view(cache_control.data(), cache_control.size()), ',')) {
    absl::string_view directive = absl::StripAsciiWhitespace(part);
    std::int64_t seconds = 0;
    constexpr absl::string_view kName = "max-age=";
    if (!absl::StartsWithIgnoreCase(directive, kName)) continue;
    directive.remove_prefix(kName.size());
    if (absl::SimpleAtoi(directive, &seconds) && seconds >= 0) return absl::Seconds(seconds);
  }
  return std::nullopt;
}

template <typename Stream>
asio::awaitable<Answer> Ask(Stream& stream, const HttpsRequest& wanted) {
  http::request<http::empty_body> request{http::verb::get, wanted.target, 11};
  const bool own_port = wanted.port == (wanted.tls ? 443 : 80);
  const bool ipv6 = wanted.host.find(':') != std::string::npos;
  const std::string host = ipv6 ? fmt::format("[{}]", wanted.host) : wanted.host;
  request.set(http::field::host, own_port ? host : fmt::format("{}:{}", host, wanted.port));
  request.set(http::field::user_agent, "herald");
  request.set(http::field::accept, "application/jwk-set+json, application/json");
  request.set(http::field::accept_encoding, "identity");
  request.set(http::field::connection, "close");
  const auto [write_error, written] = co_await http::async_write(stream, request, kAwait);
  if (write_error) co_return Unreachable("sending the request", write_error);
  boost::beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(wanted.max_body_bytes);
  parser.header_limit(kMaxHeaderBytes);
  const auto [read_error, read] = co_await http::async_read(stream, buffer, parser, kAwait);
  if (read_error == http::error::body_limit || read_error == http::error::header_limit) {
    co_return absl::InvalidArgumentError(
        fmt::format("the answer is longer than {} bytes", wanted.max_body_bytes));
  }
  if (read_error) co_return Unreachable("reading the answer", read_error);
  const auto& response = parser.get();
  if (response.result() != http::status::ok) {
    const bool redirect = response.result_int() / 100 == 3;
    co_return absl::InvalidArgumentError(
        fmt::format("the answer has status {}{}", response.result_int(),
                    redirect ? "; redirects are not followed" : ""));
  }
  const auto cache = response[http::field::cache_control];
  co_return HttpsAnswer{std::move(parser.get().body()), MaxAge({cache.data(), cache.size()})};
}

// What OpenSSL found wrong with the certificate, if that is what `error` is about.
std::string TlsFault(SSL* ssl, const error_code& error) {
  const long verdict = SSL_get_verify_result(ssl);
  if (verdict == X509_V_OK) return error.message();
  return fmt::format("{} ({})", error.message(), X509_verify_cert_error_string(verdict));
}

asio::awaitable<Answer> Fetch(const HttpsRequest& wanted, ssl::context& tls) {
  const auto executor = co_await asio::this_coro::executor;
  tcp::resolver resolver(executor);
  const auto [name_error, addresses] =
      co_await resolver.async_resolve(wanted.host, std::to_string(wanted.port), kAwait);
  if (name_error) co_return Unreachable("resolving the name", name_error);
  ssl::stream<tcp::socket> stream(executor, tls);
  const auto [error, endpoint] =
      co_await asio::async_connect(stream.next_layer(), addresses, kAwait);
  if (error) co_return Unreachable("connecting", error);
  if (!wanted.tls) co_return co_await Ask(stream.next_layer(), wanted);
  error_code no_address;
  asio::ip::make_address(wanted.host, no_address);
  // RFC 6066 §3: names only.
  if (no_address) SSL_set_tlsext_host_name(stream.native_handle(), wanted.host.c_str());
  stream.set_verify_callback(ssl::host_name_verification(wanted.host));
  const auto [tls_error] = co_await stream.async_handshake(ssl::stream_base::client, kAwait);
  if (tls_error) {
    co_return absl::UnauthenticatedError(
        fmt::format("TLS: {}", TlsFault(stream.native_handle(), tls_error)));
  }
  co_return co_await Ask(stream, wanted);
}

absl::Status SetUp(ssl::context& tls, const HttpsRequest& request) {
  error_code error;
  SSL_CTX_set_min_proto_version(tls.native_handle(), TLS1_2_VERSION);
  tls.set_verify_mode(ssl::verify_peer, error);
  if (request.ca_file.empty()) {
    tls.set_default_verify_paths(error);
  } else {
    tls.load_verify_file(request.ca_file, error);
  }
  if (!error) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format(
      "{}: {}", request.ca_file.empty() ? "authorities" : request.ca_file, error.message()));
}

}  // namespace

absl::StatusOr<HttpsAnswer> HttpsGet(const HttpsRequest& request, asio::io_context& io) {
  ssl::context tls(ssl::context::tls_client);
  if (absl::Status status = SetUp(tls, request); request.tls && !status.ok()) return status;
  std::optional<Answer> answer;
  asio::co_spawn(io, Fetch(request, tls), [&answer](const std::exception_ptr& thrown, Answer got) {
    answer = thrown ? Answer(absl::UnavailableError("out of memory or threads")) : std::move(got);
  });
  io.run_for(absl::ToChronoMilliseconds(request.timeout));
  if (answer) return *std::move(answer);
  if (!io.stopped()) {
    return absl::DeadlineExceededError(
        fmt::format("no answer within {}", absl::FormatDuration(request.timeout)));
  }
  return absl::CancelledError("stopped");
}

}  // namespace herald
