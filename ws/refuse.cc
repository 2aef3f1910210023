#include "ws/refuse.h"

#include <sys/socket.h>

#include <array>

#include "fmt/format.h"
#include "session/random.h"

namespace herald {

namespace http = boost::beast::http;

RefusalText TextOf(Admission::Verdict verdict) {
  using Verdict = Admission::Verdict;
  switch (verdict) {
    case Verdict::kUnauthenticatedPerAddress:
      return {http::status::too_many_requests,
              "this address has too many connections without a session"};
    case Verdict::kTlsFailures:
      return {http::status::too_many_requests, "too many TLS handshakes of this address failed"};
    case Verdict::kTooFast:
      return {http::status::service_unavailable, "too many handshakes a second"};
    case Verdict::kTooFastFromAddress:
      return {http::status::too_many_requests, "too many handshakes a second from this address"};
    case Verdict::kSessionsFull:
      return {http::status::service_unavailable, "this replica has as many sessions as it may"};
    case Verdict::kSessionsPerAddress:
      return {http::status::too_many_requests, "this address has as many sessions as it may"};
    case Verdict::kFull:
    case Verdict::kDescriptors:
    case Verdict::kAdmitted:
      break;
  }
  return {http::status::service_unavailable, "this replica has as many connections as it may"};
}

CloseCode CloseCodeOf(Admission::Verdict verdict) {
  return verdict == Admission::Verdict::kSessionsPerAddress ? CloseCode::kTooMany
                                                            : CloseCode::kTryLater;
}

void RefuseAtOnce(TcpSocket& socket, bool tls, RefusalText text) {
  if (!tls) {
    const int fd = socket.native_handle();
    // Closing with unread bytes resets the connection, and the answer may be lost.
    std::array<char, 4096> request;
    (void)::recv(fd, request.data(), request.size(), MSG_DONTWAIT);
    const auto phrase = http::obsolete_reason(text.status);
    const std::string answer = fmt::format(
        "HTTP/1.1 {} {}\r\nServer: herald\r\nConnection: close\r\nRetry-After: {}\r\n"
        "Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{}\n",
        static_cast<unsigned>(text.status), std::string_view(phrase.data(), phrase.size()),
        1 + RandomUint64() % 10, std::string_view(text.reason).size() + 1, text.reason);
    (void)::send(fd, answer.data(), answer.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  boost::system::error_code ignored;
  socket.close(ignored);
}

}  // namespace herald
