#pragma once

#include <cstdint>
#include <string_view>

namespace herald {

// What the handshake says of permessage-deflate.
enum class DeflateAnswer : std::uint8_t {
  kDeclined,
  kAccepted,
  kAcceptedWithWindow,  // the client asked for a limit of our window
};

// Chooses among the offers of a client (its Sec-WebSocket-Extensions). Taken is the first that lets
// shared frames be read: it is well formed, and allows a window of SharedDeflate::kWindowBits. What
// it says of its own window does not matter: we inflate any.
//
// Spec: RFC 7692 §5.1, §7.1.
DeflateAnswer AnswerDeflate(std::string_view offers);

// The value of our Sec-WebSocket-Extensions; not for kDeclined.
std::string_view DeflateHeader(DeflateAnswer answer);

}  // namespace herald
