#include "service/rpc/refusals.h"

namespace herald {

std::string_view Name(Refusal refusal) {
  switch (refusal) {
    case Refusal::kCredentials:
      return "credentials";
    case Refusal::kLateRequest:
      return "late_request";
    case Refusal::kHealthWatches:
      return "health_watches";
    case Refusal::kNoRequest:
      return "no_request";
  }
  return "";
}

RefusalCounts::Totals RefusalCounts::Read() const {
  Totals totals{};
  for (std::size_t i = 0; i < kRefusals; ++i)
    totals[i] = counts_[i].load(std::memory_order_relaxed);
  return totals;
}

}  // namespace herald
