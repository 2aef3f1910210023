#include "app/ban_log.h"

#include <utility>

#include "app/logging.h"

namespace herald {

void BanLog::Add(const std::string& producer, const std::vector<BanList::Ban>& bans,
                 const absl::Status& status, absl::Time now) {
  if (bans.empty()) return;
  std::uint64_t untold = 0;
  {
    MutexLock lock(mutex_);
    auto it = lines_.find(producer);
    if (it == lines_.end())
      it = lines_.try_emplace(lines_.size() < kMaxProducers ? producer : std::string("-")).first;
    Line& line = it->second;
    if (now < line.next) {
      ++line.untold;
      return;
    }
    line.next = now + absl::Seconds(1);
    untold = std::exchange(line.untold, 0);
  }
  const BanList::Ban& first = bans.front();
  LogInfo("audit",
          {{"producer", producer.empty() ? "-" : producer},
           {"action", first.until > now ? "ban" : "lift a ban"},
           {"user", first.user},
           {"token_id", first.token_id},
           {"bans", bans.size()},
           {"until", absl::FormatTime(absl::RFC3339_sec, first.until, absl::UTCTimeZone())},
           {"result", status.ok() ? "OK" : std::string(status.message())},
           {"untold", untold}});
}

}  // namespace herald
