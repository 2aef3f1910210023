#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace herald {

// Inflates one whole message of a client into `out`. Nothing is carried from one to the next
// (client_no_context_takeover), so sessions need no state of their own.
//
// Threads: any. Each that inflates keeps a zlib state of about 40 KB.
// Limits:  stops past `max_bytes`.
// Errors:  kResourceExhausted: it is longer (close 1009). kInvalidArgument: it is broken (1007).
// Spec:    RFC 7692 §7.2.2; blocks that say they are the last are fine (§7.2.3.4).
absl::Status Inflate(std::string_view data, std::size_t max_bytes, std::string& out);

}  // namespace herald
