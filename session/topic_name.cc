#include "session/topic_name.h"

#include <algorithm>
#include <optional>

#include "fmt/format.h"
#include "session/utf8.h"

namespace herald {
namespace {

bool IsControl(char32_t c) { return c < 0x20 || (c >= 0x7f && c <= 0x9f); }

// Unicode's White_Space, less the control characters.
bool IsSpace(char32_t c) {
  return c == 0x20 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
         c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

absl::Status ValidateName(std::string_view name, std::string_view what, std::size_t max_bytes) {
  if (name.empty()) return absl::InvalidArgumentError(fmt::format("{} is empty", what));
  if (name.size() > max_bytes) {
    return absl::InvalidArgumentError(
        fmt::format("{} has {} bytes, more than {}", what, name.size(), max_bytes));
  }
  // What most names are made of.
  if (std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < '\x7f'; }))
    return absl::OkStatus();
  bool only_space = true;
  while (!name.empty()) {
    const std::optional<char32_t> c = TakeCodePoint(name);
    if (!c) return absl::InvalidArgumentError(fmt::format("{} is not valid UTF-8", what));
    if (IsControl(*c)) {
      return absl::InvalidArgumentError(fmt::format("{} has a control character", what));
    }
    only_space = only_space && IsSpace(*c);
  }
  if (only_space) return absl::InvalidArgumentError(fmt::format("{} is only white space", what));
  return absl::OkStatus();
}

std::vector<std::string> Split(std::string_view text) {
  std::vector<std::string> segments;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('/', begin), text.size());
    segments.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return segments;
}

}  // namespace

absl::Status ValidateTopic(std::string_view topic) {
  return ValidateName(topic, "topic", kMaxTopicBytes);
}

absl::Status ValidateClientTopic(std::string_view topic) {
  if (IsReserved(topic)) return absl::InvalidArgumentError("topics that begin with $ are reserved");
  return ValidateTopic(topic);
}

bool IsReserved(std::string_view topic) { return topic.starts_with('$'); }

absl::Status ValidateUserId(std::string_view user) {
  return ValidateName(user, "user id", kMaxUserIdBytes);
}

std::string PersonalTopic(std::string_view user) {
  return std::string(kPersonalPrefix).append(user);
}

TopicPattern::TopicPattern(std::string_view text) : text_(text), segments_(Split(text)) {
  if (segments_.back() != "**" || text.find('*') != text.size() - 2) return;
  prefix_ = text.substr(0, text.size() - std::min<std::size_t>(text.size(), 3));
}

absl::StatusOr<TopicPattern> TopicPattern::Parse(std::string_view text) {
  if (absl::Status status = ValidateName(text, "topic pattern", kMaxTopicBytes); !status.ok()) {
    return status;
  }
  TopicPattern pattern(text);
  if (pattern.segments_.size() > kMaxSegments) {
    return absl::InvalidArgumentError(
        fmt::format("topic pattern has more than {} segments", kMaxSegments));
  }
  for (const std::string& segment : pattern.segments_) {
    if (segment != "*" && segment != "**" && segment.find('*') != std::string::npos) {
      return absl::InvalidArgumentError("in a topic pattern, * and ** stand alone between slashes");
    }
  }
  return pattern;
}

// The usual wildcard match, by segments. When a segment does not fit, only the last `**` takes one
// more segment: taking more in an earlier one could not help, so nothing is tried twice over.
bool TopicPattern::Matches(std::string_view topic) const {
  if (IsReserved(topic) && !IsReserved(text_)) return false;
  if (prefix_) {
    if (segments_.size() == 1) return true;
    return topic.starts_with(*prefix_) &&
           (topic.size() == prefix_->size() || topic[prefix_->size()] == '/');
  }
  const auto end_of_segment = [&](std::size_t begin) {
    return std::min(topic.find('/', begin), topic.size());
  };
  std::size_t p = 0;
  std::optional<std::size_t> after_stars;  // in the pattern, just behind its last `**`
  std::size_t stars_end = 0;               // in the topic, where that `**` stops for now
  for (std::size_t t = 0; t <= topic.size();) {
    const std::size_t end = end_of_segment(t);
    if (p < segments_.size() && segments_[p] == "**") {
      after_stars = ++p;
      stars_end = t;
    } else if (p < segments_.size() &&
               (segments_[p] == "*" || segments_[p] == topic.substr(t, end - t))) {
      ++p;
      t = end + 1;
    } else if (after_stars) {
      p = *after_stars;
      t = stars_end = end_of_segment(stars_end) + 1;
    } else {
      return false;
    }
  }
  return std::all_of(segments_.begin() + static_cast<std::ptrdiff_t>(p), segments_.end(),
                     [](const std::string& segment) { return segment == "**"; });
}

}  // namespace herald
