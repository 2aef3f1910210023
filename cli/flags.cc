#include "cli/flags.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

namespace herald::cli {
namespace {

// Otherwise CLI11 lets `--attribute k=v payload` swallow the payload, and takes `[1,2]` for a list
// of its own.
CLI::Option* OneValueEachTime(CLI::Option* option) { return option->allow_extra_args(false); }

}  // namespace

CLI::Option* AddList(CLI::App& app, const std::string& flag, std::vector<std::string>& values,
                     const std::string& help) {
  return OneValueEachTime(app.add_option(flag, values, help)->delimiter(','));
}

CLI::Option* AddRepeated(CLI::App& app, const std::string& flag, std::vector<std::string>& values,
                         const std::string& help) {
  return OneValueEachTime(app.add_option(flag, values, help));
}

CLI::Option* AddPairs(CLI::App& app, const std::string& flag,
                      std::map<std::string, std::string>& pairs, const std::string& help) {
  const auto parse = [&pairs, flag](const std::vector<std::string>& texts) {
    for (const std::string& text : texts) {
      const std::size_t equals = text.find('=');
      if (equals == std::string::npos || equals == 0) {
        throw CLI::ValidationError(flag, fmt::format("'{}' is not of the form key=value", text));
      }
      pairs[text.substr(0, equals)] = text.substr(equals + 1);
    }
  };
  return OneValueEachTime(app.add_option_function<std::vector<std::string>>(flag, parse, help))
      ->option_text("KEY=VALUE");
}

CLI::Option* AddDuration(CLI::App& app, const std::string& flag,
                         std::optional<absl::Duration>& duration, const std::string& help) {
  const auto parse = [&duration, flag](const std::string& text) {
    absl::Duration parsed;
    if (!absl::ParseDuration(text, &parsed) || parsed < absl::ZeroDuration() ||
        parsed == absl::InfiniteDuration()) {
      throw CLI::ValidationError(
          flag, fmt::format("'{}' is not a duration; write 300ms, 5s or 1m30s", text));
    }
    duration = parsed;
  };
  return app.add_option_function<std::string>(flag, parse, help)->option_text("DURATION");
}

CLI::Option* AddChoice(CLI::App& app, const std::string& flag, int& value,
                       std::vector<std::pair<std::string, int>> names, const std::string& help) {
  std::vector<std::string> words;
  for (const auto& [name, number] : names) words.push_back(name);
  const std::string choices = fmt::format("{}", fmt::join(words, "|"));
  const auto parse = [&value, flag, choices, names = std::move(names)](const std::string& text) {
    for (const auto& [name, number] : names) {
      if (name == text) {
        value = number;
        return;
      }
    }
    throw CLI::ValidationError(flag, fmt::format("'{}' is not one of {}", text, choices));
  };
  return app.add_option_function<std::string>(flag, parse, help)->option_text(choices);
}

}  // namespace herald::cli
