#include "ws/refuse.h"

#include <sys/socket.h>

#include <array>
#include <string>

#include "ws/http_answer.h"

namespace herald {

Refusal RefusalOf(Admission::Verdict verdict) {
  using Verdict = Admission::Verdict;
  switch (verdict) {
    case Verdict::kUnauthenticatedPerAddress:
      return {
          RefusalReason::kAddress, "this address has too many connections without a session", {}};
    case Verdict::kTlsFailures:
      return {RefusalReason::kAddress, "too many TLS handshakes of this address failed", {}};
    case Verdict::kTokenFailures:
      return {RefusalReason::kAddress, "too many tokens of this address were refused", {}};
    case Verdict::kTooFast:
      return {RefusalReason::kRate, "too many handshakes a second", {}};
    case Verdict::kTooFastFromAddress:
      return {RefusalReason::kAddress, "too many handshakes a second from this address", {}};
    case Verdict::kSessionsFull:
      return {RefusalReason::kFull, "this replica has as many sessions as it may", {}};
    case Verdict::kSessionsPerAddress:
      return {RefusalReason::kAddress, "this address has as many sessions as it may", {}};
    case Verdict::kFull:
    case Verdict::kDescriptors:
    case Verdict::kAdmitted:
      break;
  }
  return {RefusalReason::kFull, "this replica has as many connections as it may", {}};
}

CloseCode CloseCodeOf(Admission::Verdict verdict) {
  using Verdict = Admission::Verdict;
  return verdict == Verdict::kSessionsPerAddress || verdict == Verdict::kTokenFailures
             ? CloseCode::kTooMany
             : CloseCode::kTryLater;
}

void RefuseAtOnce(TcpSocket& socket, bool tls, const Refusal& refusal) {
  if (!tls) {
    const int fd = socket.native_handle();
    // Closing with unread bytes resets the connection, and the answer may be lost.
    std::array<char, 4096> request;
    (void)::recv(fd, request.data(), request.size(), MSG_DONTWAIT);
    const std::string answer = AnswerRefusal(refusal).ToWire(/*head=*/false);
    (void)::send(fd, answer.data(), answer.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  boost::system::error_code ignored;
  socket.close(ignored);
}

}  // namespace herald
