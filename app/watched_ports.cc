#include "app/watched_ports.h"

#include <string>

#include "session/client_address.h"

namespace herald {
namespace {

// What a health check of our own sends first where trusted proxies call from this machine: a PROXY
// header of version 2 with the command LOCAL, for the check is no client's.
std::string ProxyPreface(const FrontEnd& front_end, const Address& address) {
  const FrontEndOptions& options = front_end.options.Get();
  if (options.proxy_protocol != ProxyProtocol::kRequired) return "";
  std::string host = address.host;
  if (host == "0.0.0.0") host = "127.0.0.1";
  if (host == "::") host = "::1";
  const auto own = ClientAddress::Parse(host);
  if (!own || !options.trusted_proxies.Contains(*own)) return "";
  return std::string("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16);
}

}  // namespace

std::vector<ListenerWatch::Port> WatchedPorts(const Config& config, const FrontEnd& front_end,
                                              std::uint16_t client_port, std::uint16_t grpc_port) {
  // HEAD of a page that is always there: no refused request in the metrics.
  PortCheck::Options client;
  client.address = {config.client_addr.host, client_port};
  client.tls = front_end.tls != nullptr;
  client.request = "HEAD /herald.js HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  PortCheck::Options grpc;
  grpc.address = {config.grpc_addr.host, grpc_port};
  grpc.tls = !config.grpc_tls_cert_file.empty();
  grpc.alpn = "h2";
  // RFC 9113 §3.4: the client's preface and an empty SETTINGS frame. The server sends its own.
  grpc.request = std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
  return {{"client port", client,
           [&front_end, address = config.client_addr] { return ProxyPreface(front_end, address); }},
          {"gRPC port", grpc, nullptr}};
}

}  // namespace herald
