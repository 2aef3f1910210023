#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "session/message.h"

namespace herald {

// Compresses messages for all sessions that have negotiated permessage-deflate. Nothing is carried
// from one message to the next (server_no_context_takeover), so one frame means the same to all.
//
// Threads:   any. Each that compresses keeps a zlib state of about 40 KB.
// Limits:    payloads below the threshold stay as they are, and so do those that would not shrink.
// Spec:      RFC 7692 §7.2.1; a client needs a window of kWindowBits to read them.
class SharedDeflate final : public FrameCompressor {
 public:
  // With 15 frames would be 4 % smaller, but clients that allow no more than 12 are common
  // (docs/decisions/0007-compression.md).
  static constexpr int kWindowBits = 12;

  explicit SharedDeflate(std::size_t threshold_bytes) : threshold_bytes_(threshold_bytes) {}

  // `frame` must be a server's: whole, not masked.
  bool Compress(std::string_view frame, std::string& out) const override;

  struct Counts {
    std::uint64_t frames = 0;     // made; each is shared by many sessions
    std::uint64_t unshrunk = 0;   // tried, and left as they were
    std::uint64_t bytes_in = 0;   // of the payloads of `frames`,
    std::uint64_t bytes_out = 0;  // and what became of them
  };
  Counts counts() const;

 private:
  const std::size_t threshold_bytes_;
  mutable std::atomic<std::uint64_t> frames_{0};
  mutable std::atomic<std::uint64_t> unshrunk_{0};
  mutable std::atomic<std::uint64_t> bytes_in_{0};
  mutable std::atomic<std::uint64_t> bytes_out_{0};
};

}  // namespace herald
