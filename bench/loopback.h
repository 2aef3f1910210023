#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstdint>

namespace herald::bench {

// 127.0.0.1:`port`; with `host` 127.0.0.(1 + host), and so on through 127.0.0.0/8.
inline sockaddr_in Loopback(int port, std::uint32_t host = 0) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + host);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

}  // namespace herald::bench
