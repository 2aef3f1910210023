#include "session/reach.h"

#include <algorithm>

#include "fmt/format.h"

namespace herald {
namespace {

constexpr std::string_view kEverything = "**";
constexpr std::size_t kDescribed = 5;

}  // namespace

PatternSet PatternSet::Everything() {
  PatternSet set;
  set.patterns_.emplace_back();
  set.everything_ = true;
  return set;
}

absl::StatusOr<PatternSet> PatternSet::Parse(const std::vector<std::string>& texts) {
  if (texts.size() > kMaxPatterns)
    return absl::InvalidArgumentError(
        fmt::format("{} patterns, more than {}", texts.size(), kMaxPatterns));
  PatternSet set;
  for (const std::string& text : texts) {
    absl::StatusOr<TopicPattern> pattern = TopicPattern::Parse(text);
    if (!pattern.ok()) {
      return absl::InvalidArgumentError(
          fmt::format("pattern \"{}\": {}", text, std::string(pattern.status().message())));
    }
    if (std::ranges::find(set.patterns_, *pattern) != set.patterns_.end())
      return absl::InvalidArgumentError(fmt::format("pattern \"{}\" is there twice", text));
    set.everything_ = set.everything_ || text == kEverything;
    set.patterns_.push_back(*std::move(pattern));
  }
  return set;
}

bool PatternSet::Matches(std::string_view name) const {
  if (everything_) return true;
  if (name.empty()) return false;
  return std::ranges::any_of(patterns_,
                             [&](const TopicPattern& pattern) { return pattern.Matches(name); });
}

std::vector<std::string> PatternSet::texts() const {
  std::vector<std::string> texts;
  for (const TopicPattern& pattern : patterns_) texts.push_back(pattern.text());
  return texts;
}

std::string PatternSet::Describe() const {
  if (patterns_.empty()) return "nothing";
  std::string all;
  for (std::size_t i = 0; i < std::min(patterns_.size(), kDescribed); ++i)
    all += fmt::format("{}\"{}\"", i == 0 ? "" : ", ", patterns_[i].text());
  if (patterns_.size() > kDescribed) all += ", …";
  return all;
}

bool Reach::CoversTopic(std::string_view topic) const {
  if (!IsReserved(topic)) return topics.Matches(topic);
  if (topic.starts_with(kPersonalPrefix))
    return users.Matches(topic.substr(kPersonalPrefix.size()));
  return topic == kBroadcastTopic && users.everything();
}

}  // namespace herald
