#include "app/refusal_log.h"

#include "app/logging.h"

namespace herald {

void LogRefusals(Refusals& refusals) {
  const std::optional<Refusals::Example> example = refusals.Take();
  // Refused tokens have a line of their own (TokenRefusals).
  if (!example || example->reason == RefusalReason::kToken) return;
  const RefusalKind& kind = KindOf(example->reason);
  // Honest pages meet these two, and a setting lets them in.
  const bool by_setting =
      example->reason == RefusalReason::kOrigin || example->reason == RefusalReason::kHost;
  Log(by_setting ? LogLevel::kWarn : LogLevel::kInfo, "requests refused on the client port",
      {{"reason", kind.name},
       {"status", kind.status},
       {"count", example->count},
       {"text", example->text},
       {"detail", example->detail},
       {"address", example->address}});
}

}  // namespace herald
