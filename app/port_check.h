#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "app/address.h"

namespace herald {

// One port, called the way its clients do: a TCP connection, then a TLS hello if the port speaks TLS,
// else a request. Any answer is a good one, and so is a refusal: who refuses has accepted the
// connection and read from it. The TLS handshake is not finished, for the port may want a certificate.
//
// Threads:   one; blocks for up to the deadline.
// Ownership: holds one descriptor between calls, an unconnected socket, so that a check needs none
//            when the process has run out of them.
class PortCheck {
 public:
  struct Options {
    Address address;  // 0.0.0.0 and [::] are called on loopback
    bool tls = false;
    const char* alpn = nullptr;  // the protocol to ask for in TLS, such as "h2"
    std::string request;         // without TLS: what to send
  };
  explicit PortCheck(Options options);
  ~PortCheck();
  PortCheck(PortCheck&& other) noexcept;
  PortCheck& operator=(PortCheck&&) = delete;

  // `before`: bytes to send before anything else. kUnavailable with the reason if nobody answers.
  // `stopped` is asked ten times a second, and ends the check with kCancelled.
  absl::Status Run(absl::Duration timeout, const std::string& before,
                   const std::function<bool()>& stopped);

 private:
  void OpenSocket();

  Options options_;
  int fd_ = -1;
};

}  // namespace herald
