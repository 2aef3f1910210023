#include "ws/token_refusals.h"

#include <string>

#include "fmt/format.h"

namespace herald {
namespace {

constexpr std::int64_t kTellEveryMs = 1000;

}  // namespace

void TokenRefusals::Add(const absl::Status& why, std::string_view address, absl::Time now,
                        const Tell& tell) {
  const TokenFault fault = TokenFaultOf(why);
  tokens_[static_cast<std::size_t>(fault)].fetch_add(1, std::memory_order_relaxed);
  const std::string reason(why.message());
  TellNowAndThen({reason, address}, now, tell);
}

void TokenRefusals::TellNowAndThen(Line line, absl::Time now, const Tell& tell) {
  if (!tell) return;
  const std::int64_t now_ms = absl::ToUnixMillis(now);
  std::int64_t told = told_ms_.load(std::memory_order_relaxed);
  // A clock that was set back must not silence it.
  const bool due = now_ms < told || now_ms - told >= kTellEveryMs;
  if (!due || !told_ms_.compare_exchange_strong(told, now_ms, std::memory_order_relaxed)) {
    untold_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  line.untold = untold_.exchange(0, std::memory_order_relaxed);
  tell(line);
}

}  // namespace herald
