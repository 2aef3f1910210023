// Labels: string pairs on a session, such as platform=web.
//
// They come from the token, from the `connect` frame or from a producer, and
// selectors match on them. What a client says of itself is kept under the
// prefix `client/`, so that a selector on a trusted label cannot be spoofed.
//
// Threads:   none of its own; a value.
// Ownership: copies keys and values. An empty set is 24 bytes, without heap.
// Limits:    32 labels; key 1 to 63 bytes of [A-Za-z0-9._/-]; value 0 to 63
//            bytes of [A-Za-z0-9._-].
// Errors:    kInvalidArgument naming the label, kResourceExhausted when full.
// Spec:      narrower than Kubernetes' "Labels and Selectors" in the prefix,
//            wider in that a name may begin or end with any of its characters.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace herald {

inline constexpr std::size_t kMaxLabels = 32;
inline constexpr std::size_t kMaxLabelKeyBytes = 63;
inline constexpr std::size_t kMaxLabelValueBytes = 63;

// Where the labels are kept that a client gives itself.
inline constexpr std::string_view kClientLabelPrefix = "client/";

absl::Status ValidateLabelKey(std::string_view key);
absl::Status ValidateLabelValue(std::string_view value);
// Both; the message names the key, and never repeats bytes that are not text.
absl::Status ValidateLabel(std::string_view key, std::string_view value);

class Labels {
 public:
  using Entry = std::pair<std::string, std::string>;
  using value_type = Entry;  // the names that std containers use
  using const_iterator = std::vector<Entry>::const_iterator;

  // The value, or nothing if there is no such label. Valid until the next
  // change of this set.
  std::optional<std::string_view> Get(std::string_view key) const;

  // Adds or replaces. On an error the set is unchanged.
  absl::Status Set(std::string_view key, std::string_view value);

  // True if there was such a label.
  bool Erase(std::string_view key);

  // In the order of the keys.
  const_iterator begin() const { return entries_.begin(); }
  const_iterator end() const { return entries_.end(); }
  std::size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }

  friend bool operator==(const Labels&, const Labels&) = default;

 private:
  std::vector<Entry> entries_;  // sorted by key, keys unique
};

}  // namespace herald
