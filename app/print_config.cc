#include <cstddef>
#include <string>
#include <string_view>

#include "app/config.h"
#include "app/settings.h"
#include "app/topic_rule_yaml.h"
#include "fmt/format.h"

namespace herald {
namespace {

std::string_view OriginOf(const Config& config, std::string_view name) {
  const auto found = config.origins.find(name);
  return found == config.origins.end() ? "default" : std::string_view(found->second);
}

// Lines of at most 92 characters, so that with the indent they fit a terminal.
std::string Wrapped(std::string_view text, std::string_view indent) {
  constexpr std::size_t kWidth = 92;
  std::string out;
  while (!text.empty()) {
    std::size_t end = text.size();
    if (end > kWidth) end = text.rfind(' ', kWidth);
    if (end == std::string_view::npos) end = text.size();
    out += fmt::format("{}{}\n", indent, text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

}  // namespace

std::string PrintConfig(const Config& config) {
  std::string out;
  for (const Setting& setting : Settings()) {
    const std::string entry =
        fmt::format("{}: {}", setting.name, YamlScalar(setting.print(config)));
    out += fmt::format("{:<50}  # from {}\n", entry, OriginOf(config, setting.name));
  }
  const std::span<const TopicRule> configured = config.topic_rules.configured();
  out += fmt::format("{:<50}  # from {}\n", configured.empty() ? "topic_rules: []" : "topic_rules:",
                     OriginOf(config, "topic_rules"));
  for (const TopicRule& rule : configured) out += fmt::format("  - {}\n", PrintTopicRule(rule));
  out += "# Then the built-in rules:\n";
  for (const TopicRule& rule : config.topic_rules.all().subspan(configured.size())) {
    out += fmt::format("#  - {}\n", PrintTopicRule(rule));
  }
  return out;
}

std::string HelpText() {
  std::string out = fmt::format(
      "{}: pushes messages of internal services, told over gRPC, to WebSocket clients.\n\n"
      "Usage: herald [--name=value ...]\n\n"
      "  --config=PATH     YAML file: these names as keys, and topic_rules, a list of maps\n"
      "  --print_config    Print the effective settings and where each comes from\n"
      "  --version         Print the version\n"
      "  --help            Print this\n\n"
      "A setting comes from its flag, else from the variable HERALD_<NAME>, else from the YAML "
      "file,\n"
      "else it has its default. true|false settings may be given as --name and --noname. BYTES "
      "take\n"
      "KiB, MiB, GiB; a DURATION is like 500ms, 25s or 2m.\n",
      VersionText());
  const Config defaults;
  std::string_view section;
  for (const Setting& setting : Settings()) {
    if (setting.section != section) out += fmt::format("\n{}\n", section = setting.section);
    const std::string value = setting.print(defaults);
    out += fmt::format("  --{}={}  (default {})\n", setting.name, setting.unit,
                       value.empty() ? "empty" : value);
    out += Wrapped(setting.help, "      ");
  }
  return out;
}

std::string VersionText() { return "herald " HERALD_VERSION; }

}  // namespace herald
