// Names of topics and users, and patterns over topic names.
//
// A topic name is 1 to 255 bytes of UTF-8 without control characters, not only white space; a slash
// parts it into segments. Names that begin with `$` are reserved: Herald makes them itself.
//
// Threads: free functions and immutable values, any thread.
// Errors:  kInvalidArgument; the text says what is wrong and does not repeat the name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace herald {

inline constexpr std::size_t kMaxTopicBytes = 255;
inline constexpr std::string_view kBroadcastTopic = "$all";
inline constexpr std::string_view kPersonalPrefix = "$user/";
// So that the personal topic of every user is a topic.
inline constexpr std::size_t kMaxUserIdBytes = kMaxTopicBytes - kPersonalPrefix.size();

// Whether `topic` is well formed, reserved or not.
absl::Status ValidateTopic(std::string_view topic);

// As ValidateTopic, and refuses reserved names: for what clients and producers ask for by name.
absl::Status ValidateClientTopic(std::string_view topic);

bool IsReserved(std::string_view topic);

// Same alphabet as topics, 1 to 249 bytes. A user id may hold slashes.
absl::Status ValidateUserId(std::string_view user);

// "$user/<user>". `user` has passed ValidateUserId.
std::string PersonalTopic(std::string_view user);

// A topic's name where one is only looked up, with the bytes inside: none are allocated.
class TopicText {
 public:
  TopicText() {}  // none; the bytes stay as they are
  TopicText(const TopicText&) = delete;
  TopicText& operator=(const TopicText&) = delete;

  // `topic` has passed ValidateTopic.
  void Set(std::string_view topic) { Set({}, topic); }
  // As PersonalTopic.
  void SetPersonal(std::string_view user) { Set(kPersonalPrefix, user); }

  bool empty() const { return size_ == 0; }
  std::string_view view() const { return {bytes_, size_}; }

 private:
  void Set(std::string_view prefix, std::string_view rest) {
    size_ = static_cast<std::uint8_t>(prefix.size() + rest.size());
    prefix.copy(bytes_, prefix.size());
    rest.copy(bytes_ + prefix.size(), rest.size());
  }

  std::uint8_t size_ = 0;
  char bytes_[kMaxTopicBytes];  // the first `size_`
};

// A pattern such as `orders/*` or `eu/**/prices`, over whole segments.
//
//   *   one segment, whatever is in it
//   **  any number of segments, none included: `orders/**` matches `orders` too
//
// A pattern that does not begin with `$` itself never matches a reserved name.
// Limits: at most 255 bytes and 32 segments. Matches allocates nothing and compares at most 32
// segments for each segment of the topic: linear in its length, whatever the pattern.
class TopicPattern {
 public:
  static constexpr std::size_t kMaxSegments = 32;

  // `*` and `**` must stand alone between slashes; `orders-*` is an error and not a literal.
  static absl::StatusOr<TopicPattern> Parse(std::string_view text);

  TopicPattern() : TopicPattern("**") {}  // every topic that is not reserved

  bool Matches(std::string_view topic) const;
  const std::string& text() const { return text_; }

  friend bool operator==(const TopicPattern& a, const TopicPattern& b) {
    return a.text_ == b.text_;
  }

 private:
  explicit TopicPattern(std::string_view text);

  std::string text_;
  std::vector<std::string> segments_;
  // Of `a/b/**` and of `**`, as most patterns are: what stands before the last slash. Those are
  // compared without a look at the segments.
  std::optional<std::string> prefix_;
};

}  // namespace herald
