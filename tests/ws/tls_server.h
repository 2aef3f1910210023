// The client port with TLS.
#pragma once

#include "tests/ws/tls_client.h"
#include "tests/ws/wire.h"

namespace herald {

class TlsServer : private TestTls, public Server {
 public:
  explicit TlsServer(FrontEndOptions options = DevOptions())
      : Server(std::move(options), nullptr, TestTls::get()) {}

  std::uint64_t handshakes(TlsResult result) {
    return front_end().tls_handshakes[static_cast<int>(result)];
  }

  // A JSON session that has had its hello.
  TlsSocket Open(const std::string& target = "/ws", TlsSocket::Options options = {}) {
    TlsSocket socket(port(), std::move(options));
    EXPECT_TRUE(socket.secure());
    EXPECT_TRUE(socket.Send(UpgradeText("herald.v1.json", target)));
    EXPECT_THAT(socket.ReadUntil("\r\n\r\n"), ::testing::HasSubstr(" 101 "));
    EXPECT_TRUE(socket.Send(ClientFrame(0x81, R"({"connect":{}})")));
    EXPECT_THAT(ReadFrame(socket).payload, ::testing::HasSubstr("hello"));
    return socket;
  }
};

}  // namespace herald
