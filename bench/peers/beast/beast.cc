// Broadcasts what a WebSocket at /pub sends to all other WebSockets.  peer_beast PORT | --version
//
// What Herald is compared with: Boost.Beast used the ordinary way, a websocket::stream and a queue of shared strings per
// session, and one async_write per session and message. One thread, loopback only; ends on SIGTERM.
//
// Limits: kMaxQueue messages wait for a session; past that it is dropped.
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/version.hpp>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t kMaxQueue = 65536;

class Session;
using Subscribers = std::unordered_set<Session*>;
using Text = std::shared_ptr<const std::string>;

// Owned by its pending operations; on the list of subscribers from the upgrade to its end.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket, Subscribers& subscribers)
      : stream_(std::move(socket)), subscribers_(subscribers) {}

  ~Session() { subscribers_.erase(this); }

  void Run() {
    http::async_read(stream_.next_layer(), buffer_, request_,
                     [self = shared_from_this()](error_code error, std::size_t) {
                       if (!error) self->OnRequest();
                     });
  }

  void Send(Text text) {
    if (queue_.size() == kMaxQueue) return beast::close_socket(stream_.next_layer());
    queue_.push_back(std::move(text));
    if (queue_.size() == 1) DoWrite();
  }

 private:
  void OnRequest() {
    if (!websocket::is_upgrade(request_)) return;
    publishes_ = request_.target() == "/pub";
    stream_.set_option(websocket::stream_base::timeout{
        std::chrono::seconds(30), websocket::stream_base::none(), /*keep_alive_pings=*/false});
    stream_.async_accept(request_, [self = shared_from_this()](error_code error) {
      if (error) return;
      if (!self->publishes_) self->subscribers_.insert(self.get());
      self->DoRead();
    });
  }

  void DoRead() {
    buffer_.clear();
    stream_.async_read(buffer_, [self = shared_from_this()](error_code error, std::size_t) {
      if (error) {
        self->subscribers_.erase(self.get());
        return;
      }
      self->OnMessage();
      self->DoRead();
    });
  }

  void OnMessage() {
    if (!publishes_) return;
    Text text = std::make_shared<const std::string>(beast::buffers_to_string(buffer_.data()));
    for (Session* session : subscribers_) session->Send(text);
  }

  void DoWrite() {
    stream_.text(true);
    stream_.async_write(asio::buffer(*queue_.front()),
                        [self = shared_from_this()](error_code error, std::size_t) {
                          if (error) return;
                          self->queue_.pop_front();
                          if (!self->queue_.empty()) self->DoWrite();
                        });
  }

  websocket::stream<beast::tcp_stream> stream_;
  Subscribers& subscribers_;
  beast::flat_buffer buffer_;
  http::request<http::string_body> request_;
  std::deque<Text> queue_;
  bool publishes_ = false;
};

void Accept(tcp::acceptor& acceptor, Subscribers& subscribers) {
  acceptor.async_accept([&](error_code error, tcp::socket socket) {
    if (!error) {
      socket.set_option(tcp::no_delay(true));
      std::make_shared<Session>(std::move(socket), subscribers)->Run();
    }
    Accept(acceptor, subscribers);
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: peer_beast PORT\n";
    return 64;
  }
  if (argv[1] == std::string_view("--version")) {
    std::cout << "Boost.Beast of Boost " << BOOST_VERSION / 100000 << "."
              << BOOST_VERSION / 100 % 1000 << "\n";
    return 0;
  }
  Subscribers subscribers;  // outlives the sessions, which the context owns
  asio::io_context context(1);
  const auto port = static_cast<unsigned short>(std::atoi(argv[1]));
  tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), port});
  asio::signal_set signals(context, SIGINT, SIGTERM);
  signals.async_wait([&](error_code, int) { context.stop(); });
  Accept(acceptor, subscribers);
  context.run();
}
