#include <unistd.h>

#include <array>
#include <string>
#include <utility>

#include "app/cgroup_memory.h"
#include "app/config.h"
#include "app/derive_memory.h"
#include "app/environment.h"
#include "app/flags.h"
#include "app/settings.h"
#include "app/yaml_config.h"
#include "fmt/format.h"

namespace herald {
namespace {

constexpr std::string_view kDefault = "default";
constexpr std::string_view kDevDefault = "default (--dev)";

absl::Status Apply(const std::vector<Assignment>& assignments, Config& config) {
  for (const Assignment& assignment : assignments) {
    absl::Status status = assignment.setting->parse(assignment.text, config);
    if (!status.ok()) {
      return absl::Status(status.code(),
                          fmt::format("{}: {}", assignment.where, std::string(status.message())));
    }
    config.origins[std::string(assignment.setting->name)] = assignment.origin;
  }
  return absl::OkStatus();
}

// What --dev means, for settings that were not set.
absl::Status ApplyDev(Config& config) {
  constexpr std::pair<std::string_view, std::string_view> kDev[] = {
      {"client_addr", "127.0.0.1:8080"},
      {"grpc_addr", "127.0.0.1:50051"},
      {"admin_addr", "127.0.0.1:9090"},
      {"allowed_hosts", "loopback"},
      {"allow_anonymous", "true"},
      {"enable_raw", "true"},
      {"enable_demo", "true"},
      {"enable_reflection", "true"},
      {"log_format", "text"},
      {"drain_seconds", "0"},
  };
  for (const auto& [name, text] : kDev) {
    std::string& origin = config.origins[std::string(name)];
    if (origin != kDefault) continue;
    if (absl::Status status = FindSetting(name)->parse(text, config); !status.ok()) return status;
    origin = kDevDefault;
  }
  if (config.origins["topic_rules"] == kDefault) {
    config.topic_rules = TopicRules::DevDefaults();
    config.origins["topic_rules"] = kDevDefault;
  }
  return absl::OkStatus();
}

// The first label of the host's name, made to fit a node name.
std::string HostNodeName() {
  std::array<char, 256> buffer{};
  std::string host = gethostname(buffer.data(), buffer.size() - 1) == 0 ? buffer.data() : "";
  host = host.substr(0, host.find('.')).substr(0, 63);
  for (char& c : host) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9')) c = '-';
  }
  return host.empty() ? "herald" : host;
}

}  // namespace

absl::StatusOr<Config> LoadConfig(int argc, const char* const* argv,
                                  const Environment& environment) {
  absl::StatusOr<CommandLine> flags = ParseFlags(argc, argv);
  if (!flags.ok()) return flags.status();
  Config config;
  config.action = flags->action;
  // Help is there even when the rest is wrong.
  if (config.action == Config::Action::kHelp || config.action == Config::Action::kVersion) {
    return config;
  }
  absl::StatusOr<EnvironmentSettings> variables = ReadEnvironment(environment);
  if (!variables.ok()) return variables.status();

  for (const Setting& setting : Settings()) config.origins[std::string(setting.name)] = kDefault;
  config.origins["topic_rules"] = kDefault;

  // The weakest first: what comes later replaces it.
  const auto& path = flags->config_path ? flags->config_path : variables->config_path;
  if (path && !path->empty()) {
    absl::StatusOr<YamlConfig> yaml = ReadYamlFile(*path);
    if (!yaml.ok()) return yaml.status();
    if (absl::Status status = Apply(yaml->assignments, config); !status.ok()) return status;
    if (yaml->topic_rules) {
      config.topic_rules = TopicRules(*std::move(yaml->topic_rules));
      config.origins["topic_rules"] = yaml->topic_rules_origin;
    }
  }
  if (absl::Status status = Apply(variables->assignments, config); !status.ok()) return status;
  if (absl::Status status = Apply(flags->assignments, config); !status.ok()) return status;

  if (config.dev) {
    if (absl::Status status = ApplyDev(config); !status.ok()) return status;
  }
  if (config.node_name.empty()) config.node_name = HostNodeName();
  DeriveMemorySettings(DefaultMemoryBudget(), config);
  if (config.action == Config::Action::kRun) {
    if (absl::Status status = Validate(config); !status.ok()) return status;
  }
  return config;
}

}  // namespace herald
