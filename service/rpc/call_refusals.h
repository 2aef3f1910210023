#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace herald {

// Why a gRPC call is refused, most often before a service sees it.
enum class CallRefusal {
  kCredentials,    // the headers prove no producer
  kLateRequest,    // the request was not complete in time
  kHealthWatches,  // too many health watches are open
  kNoRequest,      // no request, or not the message of the method
  kLongRequest,    // the request is longer than any that makes sense
  kMemory,         // calls hold all the memory that they may
};
inline constexpr std::size_t kCallRefusals = 6;

// The reason as a metric label.
std::string_view Name(CallRefusal refusal);

// What the caller reads.
inline constexpr char kNoRequest[] = "the request is missing or is not the message of this method";
inline constexpr char kLateRequest[] =
    "the request was not complete in time (grpc_request_timeout)";
inline constexpr char kTooManyWatches[] = "too many health watches are open";

inline constexpr char kNoMemory[] =
    "the open calls, or those of this producer, hold all the memory that they may; read answers "
    "and "
    "events sooner, or make fewer calls at a time";

std::string LongRequest(std::size_t bytes, std::size_t max_bytes);

// How many calls were refused for which reason. Refusals only: an admitted call costs nothing here.
//
// Threads: any.
class CallRefusals {
 public:
  using Totals = std::array<std::uint64_t, kCallRefusals>;  // by CallRefusal

  void Add(CallRefusal refusal) {
    counts_[static_cast<std::size_t>(refusal)].fetch_add(1, std::memory_order_relaxed);
  }
  Totals Read() const;

 private:
  std::array<std::atomic<std::uint64_t>, kCallRefusals> counts_{};
};

}  // namespace herald
