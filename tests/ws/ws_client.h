// A WebSocket client for tests: blocking, on loopback, with a deadline on every step. The only file
// of the tests that compiles a client stream of Beast's is its .cc.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace herald {

// Bytes over TCP, for what a client library would not send.
class RawSocket {
 public:
  explicit RawSocket(std::uint16_t port, int receive_buffer = 0);
  virtual ~RawSocket();
  RawSocket(RawSocket&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  RawSocket(const RawSocket&) = delete;
  RawSocket& operator=(const RawSocket&) = delete;

  bool ok() const { return fd_ >= 0; }
  // False if the peer does not take it in time or has gone.
  bool Send(std::string_view bytes);
  // Reads until what has come ends with or contains `until`, the peer closes, or the deadline
  // passes.
  std::string ReadUntil(std::string_view until);
  // Reads `size` bytes; fewer if the peer closes or the deadline passes.
  std::string ReadExactly(std::size_t size);
  // Reads to the end. Nothing if the peer does not close in time.
  std::optional<std::string> ReadToEnd();
  void ShutdownSend();
  // Closes with a reset, as a crashed client's machine does.
  void Reset();

 protected:
  int fd() const { return fd_; }

 private:
  // As recv and send do.
  virtual std::ptrdiff_t Receive(void* data, std::size_t size);
  virtual std::ptrdiff_t SendSome(const void* data, std::size_t size);

  int fd_ = -1;
};

// A client frame, masked (with zeroes) as RFC 6455 §5.3 wants it. `first_byte` is FIN and opcode.
std::string ClientFrame(std::uint8_t first_byte, std::string_view payload, bool masked = true);

// The upgrade request. `headers` are complete lines; a header given replaces the default one.
std::string UpgradeText(const std::string& subprotocol = "herald.v1.json",
                        const std::string& target = "/ws",
                        const std::map<std::string, std::string>& headers = {});

class WsClient {
 public:
  struct Options {
    std::string subprotocol = "herald.v1.json";  // empty: none offered
    std::string target = "/ws";
    std::map<std::string, std::string> headers = {};
    int receive_buffer = 0;  // bytes of the socket's; 0: the system's
  };

  // Connects and upgrades. Null if that is refused; `status` is then the HTTP status, 0 if there
  // was none.
  static std::unique_ptr<WsClient> Connect(std::uint16_t port, Options options,
                                           int* status = nullptr);
  virtual ~WsClient() = default;

  virtual bool Send(std::string_view data, bool text = true) = 0;
  virtual bool Ping(std::string_view payload) = 0;
  // The next data frame; nothing once the connection has ended or if none comes in time.
  virtual std::optional<std::string> Read() = 0;
  virtual bool got_text() const = 0;
  virtual int pongs() const = 0;
  // Reads to the end; the close code, 1006 if the connection broke without a close frame, 0 if it
  // does not end.
  virtual int ReadClose() = 0;
  virtual std::string close_reason() const = 0;
  virtual void Close(int code) = 0;
  virtual const std::string& subprotocol() const = 0;
};

}  // namespace herald
