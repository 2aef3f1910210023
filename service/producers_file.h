// producers_file: who may call over gRPC, and what each producer may do.
//
//   producers:
//     - name: orders
//       token_sha256: ["9f86…"]              # hex; `heraldctl producer add` makes one
//       certificate: "spiffe://shop/orders"  # or: a SAN or the subject of an mTLS certificate
//       may: [deliver, join, disconnect, labels, query, watch, handle, operate]
//       topics: ["orders/**"]                # default: none
//       users: ["**"]                        # default: none
//       all: true                            # default: false
//       selectors: true                      # default: false
//       commands_per_second: 5000            # also bytes_per_second, push_streams; default: no limit
//
// Only hashes of tokens are in the file, so that a comparison says nothing about a token, and neither
// does the file or a core dump.
//
// Threads: pure functions and plain values.
// Limits:  1 MiB, kMaxProducers entries, kMaxTokens tokens each.
// Errors:  kInvalidArgument that names the file, the line and the key: unknown or repeated keys,
//          names, tokens or certificates; bad patterns; hashes that are not SHA-256.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "service/producer_rights.h"

namespace herald {

struct ProducerEntry {
  ProducerRights rights;
  std::vector<std::string> token_hashes;  // SHA-256, 32 bytes each
  std::string certificate;                // empty: none

  friend bool operator==(const ProducerEntry&, const ProducerEntry&) = default;
};

inline constexpr std::size_t kMaxProducers = 1000;
inline constexpr std::size_t kMaxTokens = 16;

struct ProducersFile {
  std::vector<ProducerEntry> producers;
  // What does not keep Herald from starting, one line each.
  std::vector<std::string> warnings;
};

absl::StatusOr<ProducersFile> ReadProducersFile(const std::string& path);
// `path` is for messages only.
absl::StatusOr<std::vector<ProducerEntry>> ParseProducers(const std::string& text,
                                                          const std::string& path);

// 1 to 64 letters, digits, `.`, `_` and `-`.
absl::Status ValidateProducerName(std::string_view name);
// SHA-256, 32 bytes.
std::string HashToken(std::string_view token);

}  // namespace herald
