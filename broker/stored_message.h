#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "session/message.h"
#include "session/topic_feed.h"

namespace herald {

// A message as it lies in NATS (proto/herald/internal/v1/stored_message.proto).
struct StoredMessage {
  std::uint64_t fence = 0;
  MessageBodyPtr body;
  ExceptionsPtr except;        // null: nobody is excepted
  DeliveryOptionsPtr options;  // null: none; never with a receipt
  std::string receipt;         // to whom receipts go; empty: to nobody
  std::string fingerprint;     // of the command; empty: it cannot be repeated
};

// `receipt` and `fingerprint`: as above.
std::string Serialize(const Publication& publication, std::uint64_t fence, std::string_view receipt,
                      std::string_view fingerprint);
// None if the bytes are no such message.
std::optional<StoredMessage> ParseStoredMessage(std::string_view bytes);

}  // namespace herald
