#pragma once

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace herald {

struct HttpsRequest {
  bool tls = true;  // false: plain HTTP, for tests on loopback
  std::string host;
  std::uint16_t port = 443;
  std::string target = "/";
  std::string ca_file;  // PEM authorities; empty: the system's
  absl::Duration timeout = absl::Seconds(5);
  std::size_t max_body_bytes = 64 * 1024;
};

struct HttpsAnswer {
  std::string body;
  std::optional<absl::Duration> max_age;  // of Cache-Control, if it names one
};

// One GET over a connection of its own, and waits for it.
//
// The certificate must be valid and name the host. Redirects are not followed, so that an answer
// cannot send Herald to an address that its operator did not name.
//
// Threads: any that may block for `timeout` (a slow resolver can take longer). `io` is used by this
//          call alone; stopping it from another thread ends the call with kCancelled.
// Errors:  kUnavailable (name, connection), kUnauthenticated (TLS), kDeadlineExceeded, kInvalidArgument
//          (the answer is not 200, or is too long; ca_file), kCancelled. Messages are one line.
// Spec:    RFC 9110, RFC 9111 §5.2.2.1, RFC 9525.
absl::StatusOr<HttpsAnswer> HttpsGet(const HttpsRequest& request, boost::asio::io_context& io);

}  // namespace herald
