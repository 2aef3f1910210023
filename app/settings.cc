#include "app/settings.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <type_traits>
#include <utility>

#include "app/setting_kinds.h"

namespace herald {
namespace {

using namespace setting;  // NOLINT: the kinds, named in settings.inc

template <typename T>
using Word = std::pair<std::string_view, T>;

constexpr std::array kJwtAlgorithms = {Word<JwtAlgorithm>{"", JwtAlgorithm::kNotSet},
                                       Word<JwtAlgorithm>{"HS256", JwtAlgorithm::kHs256},
                                       Word<JwtAlgorithm>{"RS256", JwtAlgorithm::kRs256},
                                       Word<JwtAlgorithm>{"ES256", JwtAlgorithm::kEs256},
                                       Word<JwtAlgorithm>{"EdDSA", JwtAlgorithm::kEdDsa}};
constexpr std::array kIoUring = {Word<IoUring>{"auto", IoUring::kAuto},
                                 Word<IoUring>{"on", IoUring::kOn},
                                 Word<IoUring>{"off", IoUring::kOff}};
constexpr std::array kProxyProtocols = {Word<ProxyProtocol>{"off", ProxyProtocol::kOff},
                                        Word<ProxyProtocol>{"optional", ProxyProtocol::kOptional},
                                        Word<ProxyProtocol>{"required", ProxyProtocol::kRequired}};
constexpr std::array kBrokers = {Word<BrokerKind>{"memory", BrokerKind::kMemory},
                                 Word<BrokerKind>{"nats", BrokerKind::kNats}};
constexpr std::array kLogLevels = {
    Word<LogLevel>{"debug", LogLevel::kDebug}, Word<LogLevel>{"info", LogLevel::kInfo},
    Word<LogLevel>{"warn", LogLevel::kWarn}, Word<LogLevel>{"error", LogLevel::kError}};
constexpr std::array kLogFormats = {Word<LogFormat>{"json", LogFormat::kJson},
                                    Word<LogFormat>{"text", LogFormat::kText}};

std::vector<Setting> MakeSettings() {
  std::vector<Setting> settings;
  std::string_view section;
#define HERALD_SECTION(title) section = title;
#define HERALD_SETTING(setting_name, field, kind, help_text)                                  \
  settings.push_back(                                                                         \
      {.section = section,                                                                    \
       .name = #setting_name,                                                                 \
       .help = help_text,                                                                     \
       .unit = (kind).unit(),                                                                 \
       .is_switch = std::is_same_v<decltype(kind), Switch>,                                   \
       .is_list = (kind).unit() == "LIST",                                                    \
       .parse = [](std::string_view text, Config& c) { return (kind).Parse(text, c.field); }, \
       .print = [](const Config& c) { return (kind).Print(c.field); }});
#include "app/settings.inc"
#undef HERALD_SETTING
#undef HERALD_SECTION
  return settings;
}

// Levenshtein's: insertions, deletions and replacements that make `b` of `a`.
std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

}  // namespace

std::span<const Setting> Settings() {
  static const auto* const settings = new std::vector<Setting>(MakeSettings());
  return *settings;
}

const Setting* FindSetting(std::string_view name) {
  const auto found = std::ranges::find(Settings(), name, &Setting::name);
  return found == Settings().end() ? nullptr : &*found;
}

std::string_view ClosestName(std::string_view unknown,
                             std::span<const std::string_view> other_names) {
  if (unknown.size() > 64) return "";
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(2, unknown.size() / 3) + 1;
  const auto consider = [&](std::string_view name) {
    const std::size_t distance = EditDistance(unknown, name);
    if (distance < best_distance) best = name, best_distance = distance;
  };
  for (const Setting& setting : Settings()) consider(setting.name);
  for (const std::string_view name : other_names) consider(name);
  return best;
}

}  // namespace herald
