// Who a token says its bearer is, and what the bearer may do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "session/labels.h"
#include "session/topic_name.h"

namespace herald {

inline constexpr std::size_t kMaxSubjectBytes = kMaxUserIdBytes;
inline constexpr std::size_t kMaxTokenTopics = 128;  // also of each list in `allow`
inline constexpr std::size_t kMaxTokenTopicBytes = 255;
inline constexpr std::size_t kMaxTokenIdBytes = 255;

struct Claims {
  std::string subject = {};  // `sub`: the user id. Not empty, UTF-8, no control characters
  // When Herald stops accepting the token: `exp` and the leeway after it.
  absl::Time expires_at = absl::InfiniteFuture();
  std::vector<std::string> topics = {};  // subscribed at connect
  // Topic patterns. Checked here for length and text only, as `topics` is: the
  // topic parser has the last word.
  std::vector<std::string> allow_subscribe = {};
  std::vector<std::string> allow_publish = {};
  Labels labels = {};         // none under `client/`
  std::string token_id = {};  // `jti`; empty if the token has none
  // Fingerprint of the key that verified the token (Key::fingerprint); 0: there was no token.
  std::uint64_t key = 0;

  friend bool operator==(const Claims&, const Claims&) = default;
};

// Empty, too long, not UTF-8 or with control characters: false.
bool IsPlainText(const std::string& text, std::size_t max_bytes);

}  // namespace herald
