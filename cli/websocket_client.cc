// With Beast, and without anything of gRPC, as http_get.cc.
#include "cli/websocket_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/websocket.hpp>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "cli/wire_stream.h"

namespace herald::cli {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;
using boost::asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t kMaxQueued = 64;
constexpr std::size_t kMaxMessageBytes = 16 << 20;

std::string FirstLine(std::string_view text) {
  return std::string(text.substr(0, std::min(text.find_first_of("\r\n"), std::size_t{200})));
}

}  // namespace

absl::StatusOr<WebSocketUrl> ParseWebSocketUrl(std::string_view url) {
  const auto bad = [&](std::string_view why) {
    return absl::InvalidArgumentError(
        fmt::format("'{}': {}; write ws://127.0.0.1:8080/ws", url, why));
  };
  const bool secure = url.starts_with("wss://");
  if (!secure && !url.starts_with("ws://")) return bad("not a WebSocket URL");
  url.remove_prefix(secure ? 6 : 5);
  if (url.find('#') != std::string_view::npos) return bad("a fragment has no meaning here");
  const std::size_t end = std::min(url.find_first_of("/?"), url.size());
  std::string_view authority = url.substr(0, end);
  const std::string_view rest = url.substr(end);
  if (authority.find('@') != std::string_view::npos) return bad("use --token for credentials");
  if (std::any_of(url.begin(), url.end(), [](char c) { return c <= 0x20 || c == 0x7F; })) {
    return bad("it has blanks or control characters in it");
  }

  WebSocketUrl parsed{
      .secure = secure, .host = "", .port = secure ? "443" : "80", .target = std::string(rest)};
  if (!rest.starts_with('/')) parsed.target.insert(0, "/");
  std::size_t colon = authority.rfind(':');
  if (authority.starts_with('[')) {
    const std::size_t bracket = authority.find(']');
    if (bracket == std::string_view::npos) return bad("a ] is missing");
    parsed.host = authority.substr(1, bracket - 1);
    if (bracket + 1 == authority.size()) colon = std::string_view::npos;
  } else {
    parsed.host = authority.substr(0, colon);
  }
  if (colon != std::string_view::npos) parsed.port = authority.substr(colon + 1);
  if (parsed.host.empty()) return bad("no host");
  if (parsed.port.empty() || parsed.port.size() > 5 ||
      parsed.port.find_first_not_of("0123456789") != std::string::npos) {
    return bad("the port is not a number");
  }
  return parsed;
}

class WebSocketClient::Impl {
 public:
  explicit Impl(Options options)
      : options_(std::move(options)), ws_(io_, tls_, options_.url.secure) {}

  End Run(Callbacks callbacks) {
    callbacks_ = std::move(callbacks);
    thread_ = std::this_thread::get_id();
    signals_.async_wait([this](error_code error, int) {
      if (!error) OnClose();
    });
    if (options_.limit) {
      limit_.expires_after(*options_.limit);
      limit_.async_wait([this](error_code error) {
        if (!error) OnClose();
      });
    }
    if (error_code error = options_.url.secure ? PrepareTls() : error_code()) {
      return {End::kUnreachable, 0, fmt::format("{}: {}", options_.ca_file, error.message())};
    }
    Resolve();
    io_.run();
    const std::lock_guard lock(mutex_);
    ended_ = true;
    room_.notify_all();
    return end_;
  }

  bool Send(std::string message) {
    std::unique_lock lock(mutex_);
    if (std::this_thread::get_id() != thread_) {
      room_.wait(lock, [this] { return ended_ || queued_ < kMaxQueued; });
    }
    if (ended_) return false;
    ++queued_;
    asio::post(io_, [this, message = std::move(message)]() mutable {
      queue_.push_back(std::move(message));
      if (queue_.size() == 1 && open_) Write();
    });
    return true;
  }

  void Close() {
    asio::post(io_, [this] { OnClose(); });
  }

 private:
  // Whom to trust, and who it must be.
  error_code PrepareTls() {
    error_code error;
    if (options_.ca_file.empty()) {
      tls_.set_default_verify_paths(error);
    } else {
      tls_.load_verify_file(options_.ca_file, error);
    }
    const std::string& name =
        options_.server_name.empty() ? options_.url.host : options_.server_name;
    // Of the connection and not of the context, which it was made from.
    auto& tls = ws_.next_layer().tls();
    tls.set_verify_mode(asio::ssl::verify_peer);
    SSL_set_min_proto_version(tls.native_handle(), TLS1_2_VERSION);
    tls.set_verify_callback(asio::ssl::host_name_verification(name));
    error_code no_address;
    asio::ip::make_address(name, no_address);
    // RFC 6066 §3: addresses are not named.
    if (no_address) SSL_set_tlsext_host_name(tls.native_handle(), name.c_str());
    return error;
  }

  // Callbacks and not coroutines: g++ 12 at -O1 compiles the latter to a trap here.
  void Resolve() {
    resolver_.async_resolve(options_.url.host, options_.url.port,
                            [this](error_code error, tcp::resolver::results_type endpoints) {
                              if (error) return Unreachable(error);
                              Connect(endpoints);
                            });
  }

  void Connect(const tcp::resolver::results_type& endpoints) {
    auto& stream = beast::get_lowest_layer(ws_);
    stream.expires_after(options_.connect_timeout);
    stream.async_connect(endpoints, [this](error_code error, const tcp::endpoint&) {
      if (error) return Unreachable(error);
      auto& connected = beast::get_lowest_layer(ws_);
      connected.socket().set_option(tcp::no_delay(true));
      if (!ws_.next_layer().secure()) return Handshake();
      ws_.next_layer().tls().async_handshake(asio::ssl::stream_base::client,
                                             [this](error_code error) {
                                               if (error) return Unreachable(error);
                                               Handshake();
                                             });
    });
  }

  void Handshake() {
    beast::get_lowest_layer(ws_).expires_never();  // the WebSocket layer has its own timeouts
    // A server that vanished is noticed within a minute.
    ws_.set_option(
        websocket::stream_base::timeout{options_.connect_timeout, std::chrono::seconds(60), true});
    ws_.set_option(websocket::stream_base::decorator([this](websocket::request_type& request) {
      request.set(http::field::user_agent, "heraldctl/" HERALD_VERSION);
      if (!options_.subprotocol.empty()) {
        request.set(http::field::sec_websocket_protocol, options_.subprotocol);
      }
      if (!options_.bearer_token.empty()) {
        request.set(http::field::authorization, "Bearer " + options_.bearer_token);
      }
    }));
    ws_.read_message_max(kMaxMessageBytes);
    ws_.auto_fragment(false);
    ws_.text(true);
    const bool v6 = options_.url.host.find(':') != std::string::npos;
    const std::string host = v6 ? fmt::format("[{}]:{}", options_.url.host, options_.url.port)
                                : fmt::format("{}:{}", options_.url.host, options_.url.port);
    ws_.async_handshake(response_, host, options_.url.target,
                        [this](error_code error) { OnHandshake(error); });
  }

  void OnHandshake(error_code error) {
    if (error == websocket::error::upgrade_declined) {
      return Finish(
          {End::kRefused, static_cast<int>(response_.result_int()), FirstLine(response_.body())});
    }
    if (error) return Unreachable(error);
    if (response_[http::field::sec_websocket_protocol] != options_.subprotocol) {
      return Finish({End::kUnreachable, 0,
                     fmt::format("the server does not speak {}", options_.subprotocol)});
    }
    open_ = true;
    if (!queue_.empty()) Write();
    callbacks_.on_open();
    Read();
  }

  void Read() {
    ws_.async_read(buffer_, [this](error_code error, std::size_t) {
      if (error) return OnReadError(error);
      const auto data = buffer_.cdata();
      callbacks_.on_message({static_cast<const char*>(data.data()), data.size()}, ws_.got_text());
      buffer_.consume(buffer_.size());
      Read();
    });
  }

  void OnReadError(error_code error) {
    open_ = false;
    if (closing_) return Finish({End::kStopped, 1000, ""});
    if (error != websocket::error::closed) return Finish({End::kClosed, 1006, error.message()});
    const auto& reason = ws_.reason();
    // 1005: a close frame without a code (RFC 6455 §7.1.5).
    Finish({End::kClosed, reason.code == 0 ? 1005 : reason.code,
            std::string(reason.reason.data(), reason.reason.size())});
  }

  void Unreachable(error_code error) {
    const bool late = error == beast::error::timeout;
    Finish({End::kUnreachable, 0, late ? "no answer in time" : error.message()});
  }

  // The first end counts. Nothing runs after it.
  void Finish(End end) {
    end_ = std::move(end);
    io_.stop();
  }

  // One write at a time; queue_.front() is the one under way.
  void Write() {
    ws_.async_write(asio::buffer(queue_.front()), [this](error_code error, std::size_t) {
      if (error) return;  // the read fails too, and ends it
      queue_.pop_front();
      {
        const std::lock_guard lock(mutex_);
        --queued_;
        room_.notify_one();
      }
      if (!queue_.empty()) {
        Write();
      } else if (closing_) {
        SendClose();
      }
    });
  }

  void OnClose() {
    if (std::exchange(closing_, true)) return;
    if (!open_) {
      Finish({End::kStopped, 0, ""});  // nobody to say good-bye to yet
    } else if (queue_.empty()) {
      SendClose();
    }  // else when what is queued has been sent
  }

  void SendClose() {
    ws_.async_close(websocket::close_code::normal, [](error_code) {});
  }

  const Options options_;
  Callbacks callbacks_;
  asio::io_context io_{1};
  asio::signal_set signals_{io_, SIGINT, SIGTERM};
  asio::steady_timer limit_{io_};
  tcp::resolver resolver_{io_};
  asio::ssl::context tls_{asio::ssl::context::tls_client};
  websocket::stream<WireStream> ws_;
  websocket::response_type response_;
  beast::flat_buffer buffer_;
  End end_;
  bool open_ = false;
  bool closing_ = false;
  std::deque<std::string> queue_;
  std::thread::id thread_;

  std::mutex mutex_;  // below
  std::condition_variable room_;
  std::size_t queued_ = 0;
  bool ended_ = false;
};

WebSocketClient::WebSocketClient(Options options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}
WebSocketClient::~WebSocketClient() = default;
WebSocketClient::End WebSocketClient::Run(Callbacks callbacks) {
  return impl_->Run(std::move(callbacks));
}
bool WebSocketClient::Send(std::string message) { return impl_->Send(std::move(message)); }
void WebSocketClient::Close() { impl_->Close(); }

}  // namespace herald::cli
