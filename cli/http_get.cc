#include "cli/http_get.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include "fmt/format.h"

namespace herald::cli {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using beast::error_code;

absl::StatusOr<HttpAnswer> HttpGet(const std::string& host, const std::string& port,
                                   const std::string& path, std::chrono::milliseconds timeout) {
  asio::io_context io(1);
  asio::ip::tcp::resolver resolver(io);
  beast::tcp_stream stream(io);
  http::request<http::empty_body> request(http::verb::get, path, 11);
  const bool v6 = host.find(':') != std::string::npos;
  request.set(http::field::host,
              v6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port));
  request.set(http::field::connection, "close");
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(64 * 1024);

  // Each step begins the next; the first that fails is the end.
  error_code result = beast::error::timeout;
  const auto failed = [&](error_code error) {
    result = error;
    return static_cast<bool>(error);
  };
  resolver.async_resolve(host, port, [&](error_code error, const auto& endpoints) {
    if (failed(error)) return;
    stream.expires_after(timeout);
    stream.async_connect(endpoints, [&](error_code error, const auto&) {
      if (failed(error)) return;
      http::async_write(stream, request, [&](error_code error, std::size_t) {
        if (failed(error)) return;
        http::async_read(stream, buffer, parser,
                         [&](error_code error, std::size_t) { failed(error); });
      });
    });
  });
  // The timeout of the stream does not cover the resolver.
  io.run_for(2 * timeout);
  if (result) return absl::UnavailableError(result.message());
  if (!parser.is_done()) return absl::UnavailableError("no answer in time");
  return HttpAnswer{static_cast<int>(parser.get().result_int()), parser.get().body()};
}

}  // namespace herald::cli
