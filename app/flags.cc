#include "app/flags.h"

#include <array>
#include <string_view>
#include <type_traits>
#include <utility>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/status/status.h"
#include "fmt/format.h"

namespace {

template <typename Field>
using FlagType = std::conditional_t<std::is_same_v<Field, bool>, bool, std::string>;

}  // namespace

#define HERALD_SECTION(title)
#define HERALD_SETTING(name, field, kind, help) \
  ABSL_FLAG(FlagType<decltype(std::declval<herald::Config>().field)>, name, {}, help);
#include "app/settings.inc"
#undef HERALD_SETTING
#undef HERALD_SECTION

ABSL_FLAG(std::string, config, "", "YAML file with settings.");
ABSL_FLAG(bool, print_config, false, "Print the effective settings and where each comes from.");

namespace herald {
namespace {

constexpr std::array<std::string_view, 4> kOtherFlags = {"config", "print_config", "help",
                                                         "version"};

absl::CommandLineFlag* FindFlag(std::string_view name) {
  const bool ours = FindSetting(name) || name == "config" || name == "print_config";
  return ours ? absl::FindCommandLineFlag(std::string(name)) : nullptr;
}

struct Argument {
  std::string name;
  std::optional<std::string> value;
};

// Undoes --noswitch.
Argument Normalize(std::string_view text) {
  const std::size_t equals = text.find('=');
  Argument argument{std::string(text.substr(0, equals)), std::nullopt};
  if (equals != std::string_view::npos) argument.value = text.substr(equals + 1);
  if (!FindFlag(argument.name) && argument.name.starts_with("no") && !argument.value) {
    const std::string name = argument.name.substr(2);
    const absl::CommandLineFlag* const flag = FindFlag(name);
    if (flag && flag->IsOfType<bool>()) return {name, "false"};
  }
  return argument;
}

}  // namespace

absl::StatusOr<CommandLine> ParseFlags(int argc, const char* const* argv) {
  CommandLine result;
  for (int i = 1; i < argc; ++i) {
    const std::string_view text = argv[i];
    if (!text.starts_with('-') || text == "-" || text == "--") {
      return absl::InvalidArgumentError(
          fmt::format("\"{}\" is not a flag; flags begin with --, see --help", text));
    }
    Argument argument = Normalize(text.substr(text.starts_with("--") ? 2 : 1));
    const std::string where = "--" + argument.name;
    if (argument.name == "help" || argument.name == "h") {
      result.action = Config::Action::kHelp;
      return result;
    }
    if (argument.name == "version") {
      result.action = Config::Action::kVersion;
      return result;
    }

    absl::CommandLineFlag* const flag = FindFlag(argument.name);
    if (!flag) {
      const std::string_view closest = ClosestName(argument.name, kOtherFlags);
      return absl::InvalidArgumentError(
          fmt::format("unknown flag {}; {}", where,
                      closest.empty() ? "see --help" : fmt::format("did you mean --{}?", closest)));
    }
    if (!argument.value && flag->IsOfType<bool>()) {
      argument.value = "true";
    } else if (!argument.value && i + 1 < argc) {
      argument.value = argv[++i];
    } else if (!argument.value) {
      return absl::InvalidArgumentError(fmt::format("{}: the value is missing", where));
    }
    std::string error;
    if (!flag->ParseFrom(*argument.value, &error)) {
      return absl::InvalidArgumentError(
          fmt::format("{}: \"{}\" is not true or false", where, *argument.value));
    }

    if (argument.name == "config") {
      result.config_path = flag->CurrentValue();
    } else if (argument.name == "print_config") {
      const bool print = *flag->TryGet<bool>();
      result.action = print ? Config::Action::kPrintConfig : Config::Action::kRun;
    } else {
      result.assignments.push_back(
          {FindSetting(argument.name), flag->CurrentValue(), where, "flag"});
    }
  }
  return result;
}

}  // namespace herald
