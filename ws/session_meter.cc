#include "ws/session_meter.h"

#include <algorithm>
#include <utility>

namespace herald {
namespace {

Rates OfUser(const Limits& limits) { return Rates::Of(limits).Times(limits.user_rate_multiple); }
Rates OfAddress(const Limits& limits) {
  return Rates::Of(limits).Times(limits.address_rate_multiple);
}

}  // namespace

std::optional<RateReason> SessionMeter::Sent(std::uint32_t frames, std::size_t bytes,
                                             const Payers& payers, std::int64_t now_ns) {
  const Rates rates = Rates::Of(payers.limits);
  std::optional<RateReason> over;
  if (!frames_.Take(frames, rates.frames, now_ns)) {
    over = RateReason::kSessionFrames;
  } else if (!bytes_.Take(bytes, rates.bytes, now_ns)) {
    over = RateReason::kSessionBytes;
  }
  const std::uint64_t all_frames = std::uint64_t{unsettled_frames_} + frames;
  const std::uint64_t all_bytes = std::uint64_t{unsettled_bytes_} + bytes;
  if (!over && all_frames < kSettleFrames && all_bytes < kSettleBytes) {
    unsettled_frames_ = static_cast<std::uint8_t>(all_frames);
    unsettled_bytes_ = static_cast<std::uint16_t>(all_bytes);
    return std::nullopt;
  }
  unsettled_frames_ = 0;
  unsettled_bytes_ = 0;
  const auto over_of_others = Charge(all_frames, all_bytes, payers, now_ns);
  return over ? over : over_of_others;
}

std::optional<RateReason> SessionMeter::Settle(const Payers& payers, std::int64_t now_ns) {
  const std::uint64_t frames = std::exchange(unsettled_frames_, 0);
  const std::uint64_t bytes = std::exchange(unsettled_bytes_, 0);
  if (frames == 0 && bytes == 0) return std::nullopt;
  return Charge(frames, bytes, payers, now_ns);
}

std::optional<RateReason> SessionMeter::Charge(std::uint64_t frames, std::uint64_t bytes,
                                               const Payers& payers, std::int64_t now_ns) {
  std::optional<RateReason> reason;
  if (payers.address != nullptr) {
    const Rates rates = OfAddress(payers.limits);
    if (!payers.address->frames.Charge(frames, rates.frames, now_ns))
      reason = RateReason::kAddressFrames;
    if (!payers.address->frame_bytes.Charge(bytes, rates.bytes, now_ns))
      reason = RateReason::kAddressBytes;
  }
  if (payers.user.empty() || payers.limits.user_rate_multiple == 0) return reason;
  const auto over = payers.users.Sent(payers.user, frames, bytes, OfUser(payers.limits), now_ns);
  return over ? over : reason;
}

std::optional<RateReason> SessionMeter::MayReplay(const Payers& payers, std::int64_t now_ns) const {
  if (!replayed_bytes_.Has(1, Rates::Of(payers.limits).replayed_bytes, now_ns))
    return RateReason::kSessionReplay;
  if (!payers.user.empty()) {
    if (auto over = payers.users.MayReplay(payers.user, OfUser(payers.limits), now_ns)) return over;
  }
  if (payers.address != nullptr &&
      !payers.address->replayed_bytes.Has(1, OfAddress(payers.limits).replayed_bytes, now_ns))
    return RateReason::kAddressReplay;
  return std::nullopt;
}

void SessionMeter::Replayed(std::size_t bytes, const Payers& payers, std::int64_t now_ns) {
  if (bytes == 0) return;
  replayed_bytes_.Charge(bytes, Rates::Of(payers.limits).replayed_bytes, now_ns);
  if (!payers.user.empty() && payers.limits.user_rate_multiple != 0)
    payers.users.Replayed(payers.user, bytes, OfUser(payers.limits), now_ns);
  if (payers.address != nullptr)
    payers.address->replayed_bytes.Charge(bytes, OfAddress(payers.limits).replayed_bytes, now_ns);
}

std::optional<RateReason> SessionMeter::MayOpen(const Payers& payers, std::int64_t now_ns) {
  if (!payers.user.empty()) {
    if (auto over = payers.users.MaySend(payers.user, OfUser(payers.limits), now_ns)) return over;
  }
  if (payers.address == nullptr) return std::nullopt;
  const Rates rates = OfAddress(payers.limits);
  if (!payers.address->frames.Has(1, rates.frames, now_ns)) return RateReason::kAddressFrames;
  if (!payers.address->frame_bytes.Has(1, rates.bytes, now_ns)) return RateReason::kAddressBytes;
  return std::nullopt;
}

}  // namespace herald
