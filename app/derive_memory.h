#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "app/config.h"

namespace herald {

inline constexpr std::string_view kDerived = "derived";

// Fills in the settings that are 0, "a share of max_memory_bytes", by the table in
// session/memory_shares.h; their origin becomes "derived". `default_budget`: what max_memory_bytes
// is where it is 0 itself.
//
// A share is never less than what one session or one message needs, so that a tiny budget refuses
// work instead of being a configuration that cannot start.
void DeriveMemorySettings(std::uint64_t default_budget, Config& config);

// What gRPC may hold for requests that it is reading: half of the account `other`.
std::size_t GrpcReadBytes(std::uint64_t max_memory_bytes);
// What may be held for producers' calls (service/call_memory.h).
std::size_t CallBytes(std::uint64_t max_memory_bytes);

// kInvalidArgument names a setting that alone is more than max_memory_bytes.
absl::Status ValidateMemory(const Config& config);

}  // namespace herald
