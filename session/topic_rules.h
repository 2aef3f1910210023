// What holds for a topic: history, who may use it, what happens to slow readers.
//
// Threads: any. A reload replaces the rules in place, so whoever holds them sees the new ones.
// Limits:  at most kMaxTopicRules configured; Find tries them in order, so callers keep the answer.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "session/current.h"
#include "session/delivery_options.h"
#include "session/topic_name.h"

namespace herald {

struct TopicRule {
  // Which clients: none, those whose token grants it, those with a user, all.
  enum class Access { kNone, kGranted, kUser, kAnyone };

  TopicPattern pattern;
  std::uint32_t history_size = 0;  // messages kept; 0 = no history, and no resume
  absl::Duration history_ttl = absl::Minutes(10);
  Access client_subscribe = Access::kGranted;
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
  // As they are now.
  TopicRules(const TopicRules& other) : TopicRules(Vector(other.configured())) {}
  TopicRules& operator=(const TopicRules& other) {
    Replace(other);
    return *this;
  }
  // `other`'s rules hold from now on. What depended on the old ones is the caller's business.
  void Replace(const TopicRules& other) { lists_.Set(MakeList(Vector(other.configured()))); }

  // For --dev: all topics that are not reserved are open to all, with presence and the last 100
  // messages of 10 minutes.
  static TopicRules DevDefaults();

  // The first rule that matches. Not to be kept: see Current.
  const TopicRule& Find(std::string_view topic) const;

  // All rules in the order they are tried; the configured ones come first.
  std::span<const TopicRule> all() const { return lists_->rules; }
  std::span<const TopicRule> configured() const {
    const List& list = lists_.Get();
    return std::span(list.rules).first(list.configured);
  }
  friend bool operator==(const TopicRules& a, const TopicRules& b) {
    return std::ranges::equal(a.all(), b.all());
  }

 private:
  struct List {
    std::vector<TopicRule> rules;
    std::size_t configured;
  };
  static std::shared_ptr<const List> MakeList(std::vector<TopicRule> configured);
  static std::vector<TopicRule> Vector(std::span<const TopicRule> rules) {
    return {rules.begin(), rules.end()};
  }

  Current<List> lists_;
};

// True if both keep a history for the same topics, as far as can be told from the patterns.
bool KeepSameTopics(const TopicRules& a, const TopicRules& b);

}  // namespace herald
