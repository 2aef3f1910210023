#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/role.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/websocket/teardown.hpp>
#include <utility>

namespace herald::cli {

// TCP with TLS or without, as one type: what Beast makes of it is compiled once.
class WireStream {
 public:
  using Tls = boost::asio::ssl::stream<boost::beast::tcp_stream>;
  using next_layer_type = boost::beast::tcp_stream;
  using executor_type = next_layer_type::executor_type;
  using error_code = boost::system::error_code;

  WireStream(boost::asio::io_context& io, boost::asio::ssl::context& context, bool secure)
      : tls_(io, context), secure_(secure) {}

  bool secure() const { return secure_; }
  Tls& tls() { return tls_; }
  next_layer_type& next_layer() { return tls_.next_layer(); }
  const next_layer_type& next_layer() const { return tls_.next_layer(); }
  executor_type get_executor() { return tls_.get_executor(); }

  template <class Buffers, class Handler>
  auto async_read_some(const Buffers& buffers, Handler&& handler) {
    return secure_ ? tls_.async_read_some(buffers, std::forward<Handler>(handler))
                   : next_layer().async_read_some(buffers, std::forward<Handler>(handler));
  }
  template <class Buffers, class Handler>
  auto async_write_some(const Buffers& buffers, Handler&& handler) {
    return secure_ ? tls_.async_write_some(buffers, std::forward<Handler>(handler))
                   : next_layer().async_write_some(buffers, std::forward<Handler>(handler));
  }

  // Found by argument-dependent lookup when Beast ends the connection. A close_notify would tell
  // the server nothing after WebSocket's own close.
  friend void teardown(boost::beast::role_type role, WireStream& stream, error_code& error) {
    boost::beast::websocket::teardown(role, stream.next_layer().socket(), error);
  }
  template <class Handler>
  friend void async_teardown(boost::beast::role_type role, WireStream& stream, Handler&& handler) {
    boost::beast::websocket::async_teardown(role, stream.next_layer().socket(),
                                            std::forward<Handler>(handler));
  }

 private:
  Tls tls_;
  const bool secure_;
};

}  // namespace herald::cli
