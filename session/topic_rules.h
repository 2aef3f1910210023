// What holds for a topic: history, who may use it, what happens to slow readers.
//
// Threads: immutable, any thread. A reload makes a new TopicRules.
// Limits:  at most kMaxTopicRules configured; Find tries them in order, so callers keep the answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "session/delivery_options.h"
#include "session/topic_name.h"

namespace herald {

struct TopicRule {
  // Which clients: none, those with a valid token, all.
  enum class Access { kNone, kToken, kAny };

  TopicPattern pattern;
  std::uint32_t history_size = 0;  // messages kept; 0 = no history, and no resume
  absl::Duration history_ttl = absl::Minutes(10);
  Access client_subscribe = Access::kToken;
  Access client_publish = Access::kNone;
  bool presence = false;    // who is on it may be asked
  bool join_leave = false;  // its subscribers are told who comes and goes
  // kDisconnect suits history: the client comes back and resumes.
  Overflow overflow = Overflow::kDisconnect;
  std::uint32_t max_subscribers = 0;  // 0 = unlimited; one more is refused

  friend bool operator==(const TopicRule&, const TopicRule&) = default;
};

inline constexpr std::size_t kMaxTopicRules = 256;

class TopicRules {
 public:
  // The configured rules, then the built-in ones: `$user/**` keeps 100 messages for 10 minutes,
  // `$all` 100 for 1 minute, other topics none. Clients neither subscribe to nor publish on
  // reserved topics by the built-in rules. (`**`, because a user id may hold slashes.)
  explicit TopicRules(std::vector<TopicRule> configured = {});

  // For --dev: all topics that are not reserved are open to all, with presence and the last 100
  // messages of 10 minutes.
  static TopicRules DevDefaults();

  // The first rule that matches. Valid as long as this object.
  const TopicRule& Find(std::string_view topic) const;

  // All rules in the order they are tried; the configured ones come first.
  std::span<const TopicRule> all() const { return rules_; }
  std::span<const TopicRule> configured() const { return all().first(configured_count_); }

 private:
  std::vector<TopicRule> rules_;
  std::size_t configured_count_;
};

}  // namespace herald
