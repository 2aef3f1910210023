#include "app/derive_memory.h"

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

#include "fmt/format.h"
#include "session/memory_shares.h"

namespace herald {
namespace {

constexpr std::uint64_t kMaxDerivedKeys = 1'000'000;
constexpr std::uint64_t kMaxDerivedEventBytes = 64 * kMiB;
constexpr std::uint64_t kMaxDerivedMailboxBytes = 64 * kMiB;
constexpr std::uint64_t kMinMailboxBytes = kMiB;

template <typename T>
void Derive(std::string_view name, std::uint64_t share, T& value, Config& config) {
  if (value != 0) return;
  value = static_cast<T>(share);
  config.origins[std::string(name)] = kDerived;
}

std::uint64_t Shards(const Config& config) {
  return config.threads != 0 ? config.threads
                             : std::max<std::uint64_t>(1, std::thread::hardware_concurrency());
}

}  // namespace

void DeriveMemorySettings(std::uint64_t default_budget, Config& config) {
  Limits& limits = config.limits;
  Derive("max_memory_bytes", default_budget, limits.max_memory_bytes, config);
  const auto share = [&](MemoryAccount account) {
    return ShareOf(account, limits.max_memory_bytes);
  };
  Derive("max_outbound_bytes_total",
         std::max(share(MemoryAccount::kOutbound), limits.max_outbound_bytes_per_session),
         limits.max_outbound_bytes_total, config);
  Derive("max_history_bytes_total", std::max(share(MemoryAccount::kHistories), kMiB),
         config.max_history_bytes_total, config);
  Derive("max_event_bytes", std::clamp(share(MemoryAccount::kEvents), kMiB, kMaxDerivedEventBytes),
         config.max_event_bytes, config);
  Derive("max_idempotency_keys",
         std::clamp<std::uint64_t>(share(MemoryAccount::kIdempotency) / kIdempotencyKeyBytes, 1000,
                                   kMaxDerivedKeys),
         limits.max_idempotency_keys, config);
  Derive("mailbox_high_watermark_bytes",
         std::max(std::clamp(share(MemoryAccount::kMailboxes) / Shards(config), kMinMailboxBytes,
                             kMaxDerivedMailboxBytes),
                  limits.max_message_bytes),
         limits.mailbox_high_watermark_bytes, config);
}

std::size_t GrpcReadBytes(std::uint64_t max_memory_bytes) {
  return static_cast<std::size_t>(
      std::max(ShareOf(MemoryAccount::kOther, max_memory_bytes) / 2, 16 * kMiB));
}

std::size_t CallBytes(std::uint64_t max_memory_bytes) {
  return static_cast<std::size_t>(
      std::max(ShareOf(MemoryAccount::kCalls, max_memory_bytes), 8 * kMiB));
}

absl::Status ValidateMemory(const Config& config) {
  const Limits& limits = config.limits;
  const std::array<std::pair<std::string_view, std::uint64_t>, 5> parts = {
      {{"max_outbound_bytes_total", limits.max_outbound_bytes_total},
       {"max_history_bytes_total", config.max_history_bytes_total},
       {"max_event_bytes", config.max_event_bytes},
       {"max_idempotency_keys", limits.max_idempotency_keys * kIdempotencyKeyBytes},
       {"mailbox_high_watermark_bytes", limits.mailbox_high_watermark_bytes}}};
  for (const auto& [name, bytes] : parts) {
    const auto origin = config.origins.find(name);
    if (origin != config.origins.end() && origin->second == kDerived) continue;
    if (bytes <= limits.max_memory_bytes) continue;
    return absl::InvalidArgumentError(fmt::format(
        "{} allows {} bytes, more than max_memory_bytes {}: lower it, leave it out (then it is a "
        "share of max_memory_bytes), or raise max_memory_bytes",
        name, bytes, limits.max_memory_bytes));
  }
  return absl::OkStatus();
}

}  // namespace herald
