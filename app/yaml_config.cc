#include "app/yaml_config.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "app/topic_rule_yaml.h"
#include "fmt/format.h"
#include "yaml-cpp/yaml.h"

namespace herald {
namespace {

constexpr std::array<std::string_view, 1> kOtherKeys = {"topic_rules"};
constexpr std::uintmax_t kMaxFileBytes = kMiB;

class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path) {}

  absl::StatusOr<YamlConfig> Read(const std::string& text) {
    std::vector<YAML::Node> documents = YAML::LoadAll(text);
    YamlConfig config;
    if (documents.empty() || documents[0].IsNull()) return config;
    if (documents.size() > 1) return Error(documents[1].Mark(), "a second YAML document");
    if (!documents[0].IsMap()) return Error(documents[0].Mark(), "not a map of settings");
    std::set<std::string> seen;
    for (const auto& entry : documents[0]) {
      const std::string name = entry.first.IsScalar() ? entry.first.Scalar() : "";
      if (!seen.insert(name).second) {
        return Error(entry.first.Mark(), fmt::format("{} is there twice", name));
      }
      absl::Status status = name == "topic_rules"
                                ? ReadRules(entry.first.Mark(), entry.second, config)
                                : ReadSetting(name, entry.first.Mark(), entry.second, config);
      if (!status.ok()) return status;
    }
    return config;
  }

  absl::Status Error(const YAML::Mark& mark, std::string_view what) const {
    return absl::InvalidArgumentError(fmt::format("{}: {}", Place(mark), what));
  }

 private:
  std::string Place(const YAML::Mark& mark) const {
    return mark.is_null() ? path_ : fmt::format("{}:{}", path_, mark.line + 1);
  }

  absl::Status ReadSetting(const std::string& name, const YAML::Mark& mark, const YAML::Node& value,
                           YamlConfig& config) const {
    const Setting* const setting = FindSetting(name);
    if (!setting) {
      const std::string_view closest = ClosestName(name, kOtherKeys);
      return Error(mark, fmt::format("unknown key {}; {}", name,
                                     closest.empty() ? "see --help"
                                                     : fmt::format("did you mean {}?", closest)));
    }
    std::string text;
    if (value.IsScalar()) {
      text = value.Scalar();
    } else if (value.IsSequence() && setting->is_list) {
      for (const YAML::Node& element : value) {
        if (!element.IsScalar()) return Error(element.Mark(), fmt::format("{}: not text", name));
        text += (text.empty() ? "" : ",") + element.Scalar();
      }
    } else {
      return Error(mark, fmt::format("{}: {}", name,
                                     value.IsNull() ? "the value is missing" : "not one value"));
    }
    const std::string place = Place(mark);
    config.assignments.push_back(
        {setting, std::move(text), fmt::format("{}: {}", place, name), place});
    return absl::OkStatus();
  }

  absl::Status ReadRules(const YAML::Mark& mark, const YAML::Node& list, YamlConfig& config) const {
    if (!list.IsSequence()) return Error(mark, "topic_rules: not a list");
    if (list.size() > kMaxTopicRules) {
      return Error(mark,
                   fmt::format("topic_rules: {} rules, more than {}", list.size(), kMaxTopicRules));
    }
    config.topic_rules.emplace();
    config.topic_rules_origin = Place(mark);
    for (const YAML::Node& node : list) {
      absl::StatusOr<TopicRule> rule = ReadTopicRule(
          node, [this](const YAML::Mark& m, std::string_view what) { return Error(m, what); });
      if (!rule.ok()) return rule.status();
      config.topic_rules->push_back(*std::move(rule));
    }
    return absl::OkStatus();
  }

  const std::string& path_;
};

}  // namespace

absl::StatusOr<YamlConfig> ReadYamlFile(const std::string& path) {
  // A directory opens as a file, and reads as nothing.
  std::error_code error;
  const bool directory = std::filesystem::is_directory(path, error);
  std::ifstream file(path);
  if (directory || !file) {
    return absl::InvalidArgumentError(fmt::format("{}: cannot read the configuration file: {}",
                                                  path, std::strerror(directory ? EISDIR : errno)));
  }
  std::string text(kMaxFileBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kMaxFileBytes) {
    return absl::InvalidArgumentError(fmt::format("{}: larger than 1 MiB", path));
  }
  return ReadYaml(text, path);
}

absl::StatusOr<YamlConfig> ReadYaml(const std::string& text, const std::string& path) {
  Reader reader(path);
  try {
    return reader.Read(text);
  } catch (const YAML::Exception& exception) {
    return reader.Error(exception.mark, exception.msg);
  }
}

}  // namespace herald
