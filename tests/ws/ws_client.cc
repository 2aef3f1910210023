#include "tests/ws/ws_client.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/field.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <cerrno>

namespace herald {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = beast::websocket;
using beast::error_code;

constexpr std::chrono::seconds kStep{30};

}  // namespace

RawSocket::RawSocket(std::uint16_t port, int receive_buffer) {
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (receive_buffer > 0)
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  const timeval timeout{kStep.count(), 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    ::close(fd_);
    fd_ = -1;
  }
}

RawSocket::~RawSocket() {
  if (fd_ >= 0) ::close(fd_);
}

std::ptrdiff_t RawSocket::Receive(void* data, std::size_t size) {
  return ::recv(fd_, data, size, 0);
}

std::ptrdiff_t RawSocket::SendSome(const void* data, std::size_t size) {
  return ::send(fd_, data, size, MSG_NOSIGNAL);
}

bool RawSocket::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = SendSome(bytes.data(), bytes.size());
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

std::string RawSocket::ReadUntil(std::string_view until) {
  std::string read;
  char byte;
  while (read.find(until) == std::string::npos && Receive(&byte, 1) == 1) read += byte;
  return read;
}

std::string RawSocket::ReadExactly(std::size_t size) {
  std::string read(size, '\0');
  std::size_t have = 0;
  while (have < size) {
    const ssize_t n = Receive(read.data() + have, size - have);
    if (n <= 0) break;
    have += static_cast<std::size_t>(n);
  }
  read.resize(have);
  return read;
}

std::optional<std::string> RawSocket::ReadToEnd() {
  std::string read;
  char buffer[4096];
  for (;;) {
    const ssize_t n = Receive(buffer, sizeof buffer);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return std::nullopt;
    if (n <= 0) return read;
    read.append(buffer, static_cast<std::size_t>(n));
  }
}

void RawSocket::ShutdownSend() { ::shutdown(fd_, SHUT_WR); }

void RawSocket::Reset() {
  const linger now{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  ::close(fd_);
  fd_ = -1;
}

std::string ClientFrame(std::uint8_t first_byte, std::string_view payload, bool masked) {
  std::string frame(1, static_cast<char>(first_byte));
  const std::uint8_t mask = masked ? 0x80 : 0;
  if (payload.size() < 126) {
    frame += static_cast<char>(mask | payload.size());
  } else if (payload.size() <= 0xffff) {
    frame += static_cast<char>(mask | 126);
    for (int shift : {8, 0}) frame += static_cast<char>(payload.size() >> shift);
  } else {
    frame += static_cast<char>(mask | 127);
    for (int shift = 56; shift >= 0; shift -= 8)
      frame += static_cast<char>(payload.size() >> shift);
  }
  if (masked) frame.append(4, '\0');
  return frame.append(payload);
}

std::string UpgradeText(const std::string& subprotocol, const std::string& target,
                        const std::map<std::string, std::string>& headers) {
  std::map<std::string, std::string> all = {{"Host", "localhost"},
                                            {"Connection", "Upgrade"},
                                            {"Upgrade", "websocket"},
                                            {"Sec-WebSocket-Version", "13"},
                                            {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}};
  if (!subprotocol.empty()) all["Sec-WebSocket-Protocol"] = subprotocol;
  for (const auto& [name, value] : headers) all[name] = value;
  std::string text = "GET " + target + " HTTP/1.1\r\n";
  for (const auto& [name, value] : all) text += name + ": " + value + "\r\n";
  return text + "\r\n";
}

namespace {

class BeastClient final : public WsClient {
 public:
  bool Open(std::uint16_t port, const Options& options, int* status) {
    auto& socket = beast::get_lowest_layer(ws_).socket();
    error_code error;
    socket.open(asio::ip::tcp::v4(), error);
    if (options.receive_buffer > 0) {
      socket.set_option(asio::socket_base::receive_buffer_size(options.receive_buffer), error);
    }
    socket.connect({asio::ip::address_v4::loopback(), port}, error);
    if (error) return false;
    ws_.set_option(websocket::stream_base::decorator([&](websocket::request_type& request) {
      if (!options.subprotocol.empty()) {
        request.set(beast::http::field::sec_websocket_protocol, options.subprotocol);
      }
      for (const auto& [name, value] : options.headers) request.set(name, value);
    }));
    ws_.control_callback([this](websocket::frame_type type, beast::string_view) {
      if (type == websocket::frame_type::pong) ++pongs_;
    });
    ws_.read_message_max(1 << 24);
    websocket::response_type response;
    const bool ok = Run([&](auto handler) {
      ws_.async_handshake(response, "localhost:" + std::to_string(port), options.target,
                          std::move(handler));
    });
    if (status != nullptr) *status = ok ? 101 : static_cast<int>(response.result_int());
    if (!ok) return false;
    const auto chosen = response[beast::http::field::sec_websocket_protocol];
    subprotocol_.assign(chosen.data(), chosen.size());
    return true;
  }

  bool Send(std::string_view data, bool text) override {
    ws_.text(text);
    return Run([&](auto handler) {
      ws_.async_write(asio::buffer(data.data(), data.size()),
                      [handler](error_code error, std::size_t) { handler(error); });
    });
  }

  bool Ping(std::string_view payload) override {
    return Run([&](auto handler) {
      ws_.async_ping(websocket::ping_data(payload.data(), payload.size()), std::move(handler));
    });
  }

  std::optional<std::string> Read() override {
    beast::flat_buffer buffer;
    const bool ok = Run([&](auto handler) {
      ws_.async_read(buffer, [handler](error_code error, std::size_t) { handler(error); });
    });
    if (!ok) return std::nullopt;
    return std::string(static_cast<const char*>(buffer.data().data()), buffer.size());
  }

  bool got_text() const override { return ws_.got_text(); }
  int pongs() const override { return pongs_; }

  int ReadClose() override {
    while (Read().has_value()) {
    }
    if (timed_out_) return 0;
    const auto code = ws_.reason().code;
    if (error_ != websocket::error::closed) return 1006;
    return code == websocket::close_code::none ? 1005 : code;
  }
  std::string close_reason() const override { return ws_.reason().reason.c_str(); }

  void Close(int code) override {
    Run([&](auto handler) {
      ws_.async_close(static_cast<websocket::close_code>(code), std::move(handler));
    });
  }
  const std::string& subprotocol() const override { return subprotocol_; }

 private:
  // Starts an operation and runs it to its end, or cuts the connection at the deadline.
  template <typename Start>
  bool Run(Start start) {
    bool done = false;
    start([this, &done](error_code error) {
      error_ = error;
      done = true;
    });
    io_.restart();
    const auto deadline = std::chrono::steady_clock::now() + kStep;
    while (!done && std::chrono::steady_clock::now() < deadline) io_.run_one_for(kStep);
    if (done) return !error_;
    timed_out_ = true;
    error_code ignored;
    beast::get_lowest_layer(ws_).socket().close(ignored);
    io_.restart();
    while (!done) io_.run_one();
    return false;
  }

  asio::io_context io_{1};
  websocket::stream<beast::tcp_stream, /*deflateSupported=*/false> ws_{io_};
  error_code error_;
  bool timed_out_ = false;
  int pongs_ = 0;
  std::string subprotocol_;
};

}  // namespace

std::unique_ptr<WsClient> WsClient::Connect(std::uint16_t port, Options options, int* status) {
  if (status != nullptr) *status = 0;
  auto client = std::make_unique<BeastClient>();
  if (!client->Open(port, options, status)) return nullptr;
  return client;
}

}  // namespace herald
