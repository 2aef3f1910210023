#include "app/environment.h"

#include <unistd.h>

#include <array>
#include <cctype>
#include <regex>
#include <string_view>

#include "absl/status/status.h"
#include "fmt/format.h"

namespace herald {
namespace {

constexpr std::string_view kPrefix = "HERALD_";

std::string Cased(std::string_view text, int (*to_case)(int)) {
  std::string out;
  for (const char c : text) out += static_cast<char>(to_case(static_cast<unsigned char>(c)));
  return out;
}

bool IsServiceLink(const std::string& variable) {
  static const auto* const links = new std::regex(
      "HERALD_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|"
      "PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)");
  return variable.size() < 256 && std::regex_match(variable, *links);
}

}  // namespace

Environment CurrentEnvironment() {
  Environment environment;
  for (char** entry = environ; entry && *entry; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

absl::StatusOr<EnvironmentSettings> ReadEnvironment(const Environment& environment) {
  EnvironmentSettings result;
  for (const auto& [variable, value] : environment) {
    if (!variable.starts_with(kPrefix)) continue;
    const std::string name = Cased(variable.substr(kPrefix.size()), std::tolower);
    const bool upper = variable == Cased(variable, std::toupper);
    const Setting* const setting = FindSetting(name);
    if (upper && name == "config") {
      result.config_path = value;
    } else if (upper && setting) {
      result.assignments.push_back({setting, value, variable, "environment"});
    } else if (!IsServiceLink(variable)) {
      static constexpr std::array<std::string_view, 1> kOtherNames = {"config"};
      const std::string_view closest = ClosestName(name, kOtherNames);
      return absl::InvalidArgumentError(
          closest.empty() ? fmt::format("unknown environment variable {}; see --help", variable)
                          : fmt::format("unknown environment variable {}; did you mean {}{}?",
                                        variable, kPrefix, Cased(closest, std::toupper)));
    }
  }
  return result;
}

}  // namespace herald
