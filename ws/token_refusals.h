#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ws/auth/token_fault.h"

namespace herald {

// Clients that were refused for their token: counts all by fault, and tells of at most one a second,
// so that a flood of them does not fill the log.
//
// Threads: any. Lock-free, but for what `Tell` does.
class TokenRefusals {
 public:
  struct Line {
    std::string_view reason;   // never the token itself
    std::string_view address;  // of the client, without its port
    std::uint64_t untold = 0;  // refusals since the last line that were not told
  };
  // On the thread that refuses; must not block for long.
  using Tell = std::function<void(const Line&)>;

  // `why`: a status of RefuseToken.
  void Add(const absl::Status& why, std::string_view address, absl::Time now, const Tell& tell);

  std::uint64_t count(TokenFault fault) const {
    return tokens_[static_cast<std::size_t>(fault)].load(std::memory_order_relaxed);
  }

 private:
  void TellNowAndThen(Line line, absl::Time now, const Tell& tell);

  std::array<std::atomic<std::uint64_t>, kTokenFaults> tokens_{};
  std::atomic<std::uint64_t> untold_{0};
  std::atomic<std::int64_t> told_ms_{0};  // when, since 1970
};

}  // namespace herald
