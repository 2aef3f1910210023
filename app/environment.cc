#include "app/environment.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
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

// What heraldctl reads: a shell that is set up for it can start the server too.
bool IsHeraldctls(std::string_view variable) {
  return variable == "HERALD_ADDR" || variable == "HERALD_TOKEN" || variable == "HERALD_URL" ||
         variable == "HERALD_CLIENT_TOKEN";
}

// Only the names and values that Kubernetes makes: HERALD_PORT=8080 is an attempt to configure.
bool IsServiceLink(std::string_view variable, std::string_view value) {
  if (variable.ends_with("_SERVICE_HOST") || variable.ends_with("_SERVICE_PORT") ||
      variable.find("_SERVICE_PORT_") != std::string_view::npos) {
    return true;
  }
  if (variable.ends_with("_PORT") && value.find("://") != std::string_view::npos) return true;
  // HERALD_PORT_8080_TCP and HERALD_PORT_8080_TCP_ADDR, _PORT, _PROTO.
  constexpr std::string_view kPort = "_PORT_";
  const std::size_t port = variable.find(kPort);
  if (port == std::string_view::npos) return false;
  const std::string_view number = variable.substr(port + kPort.size());
  const std::size_t digits = std::min(number.find_first_not_of("0123456789"), number.size());
  const std::string_view protocol = number.substr(digits);
  return digits > 0 && (protocol.starts_with("_TCP") || protocol.starts_with("_UDP") ||
                        protocol.starts_with("_SCTP"));
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
    } else if (!IsHeraldctls(variable) && !IsServiceLink(variable, value)) {
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
