#pragma once

#include "ws/front_end.h"

namespace herald {

// Checks the upgrade request of `GET /ws`, before anything is answered: method, version and key
// (RFC 6455 §4.2.1), origin, subprotocol, token, topics. The caller adds the request and the address.
// Order:     what is wrong with the protocol first, then who may not.
// Request:   as ParseHead made it.
//
// Threads:   any. Signature checks take up to 100 µs.
absl::StatusOr<UpgradeDetails> CheckUpgrade(const FrontEnd& front_end,
                                            const UpgradeRequest& request, absl::Time now,
                                            Refusal& refusal);

}  // namespace herald
