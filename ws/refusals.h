#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "session/mutex.h"

namespace herald {

// Why a request on the client port is refused. Each reason has one HTTP status.
enum class RefusalReason {
  kMalformed,
  kBody,
  kQuery,
  kSubprotocol,
  kToken,
  kOrigin,
  kNotFound,
  kMethod,
  kTimeout,
  kHost,
  kNotUpgrade,
  kAddress,
  kHeaderTooLarge,
  kFull,
  kRate,
  kMemory,
  kDraining,
};
inline constexpr std::size_t kRefusalReasons = 17;

struct RefusalKind {
  const char* name;  // the metric's label `reason`
  int status;
};
const RefusalKind& KindOf(RefusalReason reason);

// What one refused request is answered.
struct Refusal {
  RefusalReason reason = RefusalReason::kMalformed;
  std::string text;    // one line for people, in the answer's body
  std::string detail;  // for the log only, such as the origin; may be empty
  std::string_view allow = "GET, HEAD, OPTIONS";  // for 405: what the path allows
  absl::Status token = {};  // not OK: the token was refused, and why (RefuseToken)
};

// Counts refused requests by reason, and keeps one example of each for the log.
//
// Threads:   Add from any: an atomic addition, and a short lock while there is no example yet. Take
//            from one thread.
class Refusals {
 public:
  struct Example {
    RefusalReason reason;
    std::uint64_t count;  // since the last Take of this reason
    std::string text;
    std::string detail;
    std::string address;
  };

  // `address` is the client's, for the log.
  void Add(const Refusal& refusal, const std::string& address);
  std::uint64_t count(RefusalReason reason) const {
    return slots_[static_cast<std::size_t>(reason)].count.load(std::memory_order_relaxed);
  }
  std::uint64_t total() const;

  // The next reason in turn that was met since its last Take, so that many refusals of one reason
  // hide no other. Nothing if there is none. Called once a second, this is at most one line a
  // second.
  std::optional<Example> Take();

 private:
  struct Slot {
    std::atomic<std::uint64_t> count{0};
    std::atomic<bool> has_example{false};
    std::uint64_t taken = 0;  // by Take's thread only
  };
  std::array<Slot, kRefusalReasons> slots_;
  std::size_t next_ = 0;  // Take's thread only
  Mutex mutex_;
  std::array<Example, kRefusalReasons> examples_ ABSL_GUARDED_BY(mutex_){};
};

}  // namespace herald
