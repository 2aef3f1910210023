#include "cli/status_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/output.h"
#include "cli/table.h"
#include "cli/text.h"

namespace herald::cli {
namespace {

const v1::NodeInfo* Find(const Sample* sample, const std::string& node) {
  if (sample == nullptr) return nullptr;
  for (const v1::NodeInfo& info : sample->info.nodes()) {
    if (info.node() == node) return &info;
  }
  return nullptr;
}

std::string Rate(double mean, std::uint64_t now, const std::uint64_t* last, double seconds) {
  const bool usable = last != nullptr && now >= *last && seconds > 0;
  return HumanRate(usable ? static_cast<double>(now - *last) / seconds : mean);
}

}  // namespace

std::string StatusText(const Sample& now, const Sample* last) {
  Table table({{"NODE"},
               {"UP"},
               {"SESSIONS", Table::kRight},
               {"TOPICS", Table::kRight},
               {"CMDS/S", Table::kRight},
               {"MSGS/S", Table::kRight},
               {"OUT/S", Table::kRight},
               {"MEMORY", Table::kRight}});
  const double seconds = last == nullptr ? 0 : absl::ToDoubleSeconds(now.time - last->time);
  v1::NodeInfo sum;
  for (const v1::NodeInfo& node : now.info.nodes()) {
    const v1::NodeInfo* before = Find(last, node.node());
    const std::uint64_t commands = before == nullptr ? 0 : before->commands_total();
    const std::uint64_t deliveries = before == nullptr ? 0 : before->deliveries_total();
    table.Row({node.node() + (node.draining() ? " (draining)" : ""),
               HumanDuration(FromProto(node.uptime())), Thousands(node.sessions()),
               Thousands(node.topics()),
               Rate(node.commands_per_second(), node.commands_total(),
                    before == nullptr ? nullptr : &commands, seconds),
               Rate(node.deliveries_per_second(), node.deliveries_total(),
                    before == nullptr ? nullptr : &deliveries, seconds),
               HumanBytes(node.bytes_out_per_second()),
               HumanBytes(static_cast<double>(node.resident_bytes()))});
    sum.set_sessions(sum.sessions() + node.sessions());
    sum.set_users(sum.users() + node.users());
    sum.set_commands_total(sum.commands_total() + node.commands_total());
    sum.set_deliveries_total(sum.deliveries_total() + node.deliveries_total());
    sum.set_dropped_total(sum.dropped_total() + node.dropped_total());
    sum.set_history_bytes(sum.history_bytes() + node.history_bytes());
    sum.set_push_streams(sum.push_streams() + node.push_streams());
    sum.set_watchers(sum.watchers() + node.watchers());
    sum.set_shards(sum.shards() + node.shards());
    // The oldest, so that a half-done upgrade shows.
    if (sum.version().empty() || node.version() < sum.version()) sum.set_version(node.version());
  }
  Facts facts;
  facts.Add("sessions",
            fmt::format("{} of {} users", Thousands(sum.sessions()), Thousands(sum.users())));
  facts.Add("so far",
            fmt::format("{} commands, {} deliveries, {} dropped", Thousands(sum.commands_total()),
                        Thousands(sum.deliveries_total()), Thousands(sum.dropped_total())));
  facts.Add("producers", fmt::format("{} push streams, {} watchers", Thousands(sum.push_streams()),
                                     Thousands(sum.watchers())));
  facts.Add("history", HumanBytes(static_cast<double>(sum.history_bytes())));
  facts.Add("herald", fmt::format("{}, {} broker, {} shards, answered by {}", sum.version(),
                                  now.info.broker(), sum.shards(), now.info.node()));
  return table.Take() + "\n" + facts.Text();
}

}  // namespace herald::cli
