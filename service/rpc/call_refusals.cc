#include "service/rpc/call_refusals.h"

#include "fmt/format.h"

namespace herald {

std::string_view Name(CallRefusal refusal) {
  switch (refusal) {
    case CallRefusal::kCredentials:
      return "credentials";
    case CallRefusal::kLateRequest:
      return "late_request";
    case CallRefusal::kHealthWatches:
      return "health_watches";
    case CallRefusal::kNoRequest:
      return "no_request";
    case CallRefusal::kLongRequest:
      return "long_request";
    case CallRefusal::kMemory:
      return "memory";
  }
  return "";
}

std::string LongRequest(std::size_t bytes, std::size_t max_bytes) {
  return fmt::format("the request has {} bytes, over the limit of {}", bytes, max_bytes);
}

CallRefusals::Totals CallRefusals::Read() const {
  Totals totals{};
  for (std::size_t i = 0; i < kCallRefusals; ++i)
    totals[i] = counts_[i].load(std::memory_order_relaxed);
  return totals;
}

}  // namespace herald
