#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "session/receipt.h"

namespace herald {

// What a full outbound queue does: closes the session (4413), or lets go of its oldest message, or
// of what comes.
enum class Overflow : std::uint8_t { kDisconnect, kDropOldest, kDropNewest };

// How one message wants to be treated on its way out. Most have none of it but
// a receipt, and share their frames with their neighbours; one that has more goes singly. Shared by its copies in several topics.
struct DeliveryOptions {
  std::int64_t expires_unix_ms = 0;  // 0: never
  std::string collapse_key;          // empty: none
  bool high_priority = false;
  std::optional<Overflow> overflow;  // none: as the topic's rule says
  ReceiptPtr receipt;                // null: nobody asked

  // Nothing but a receipt: it may share a frame with its neighbours.
  bool only_receipt() const {
    return expires_unix_ms == 0 && collapse_key.empty() && !high_priority && !overflow;
  }
  bool ExpiredAt(std::int64_t unix_ms) const {
    return expires_unix_ms != 0 && expires_unix_ms <= unix_ms;
  }
  bool operator==(const DeliveryOptions&) const = default;
};
using DeliveryOptionsPtr = std::shared_ptr<const DeliveryOptions>;

}  // namespace herald
