#include "broker/topic_log.h"

#include <algorithm>
#include <iterator>

#include "absl/time/clock.h"
#include "session/random.h"

namespace herald {

namespace {

bool Lives(const MessagePtr& message, std::int64_t now_unix_ms) {
  return message->options() == nullptr || !message->options()->ExpiredAt(now_unix_ms);
}

}  // namespace

TopicLog::TopicLog(Position start, std::size_t max_messages, absl::Duration max_age)
    : max_messages_(max_messages),
      max_age_(max_age),
      current_(start),
      before_oldest_(start),
      last_used_(absl::Now()) {}

void TopicLog::SetLimits(std::size_t max_messages, absl::Duration max_age, absl::Time now) {
  max_messages_ = max_messages;
  max_age_ = max_age;
  while (messages().size() > max_messages_) PopOldest();
  Expire(now);
}

Position TopicLog::Next() const { return {current_.epoch, current_.offset + 1, RandomUint64()}; }

void TopicLog::Append(MessagePtr message, absl::Time now) {
  last_used_ = now;
  current_ = message->position();
  bytes_ += message->size_bytes();
  messages_.push_back(std::move(message));
  while (messages().size() > max_messages_) PopOldest();
  Expire(now);
}

std::size_t TopicLog::CountUpTo(std::uint64_t offset) const {
  const auto kept = messages();
  return static_cast<std::size_t>(
      std::partition_point(kept.begin(), kept.end(),
                           [&](const auto& m) { return m->position().offset <= offset; }) -
      kept.begin());
}

const Message* TopicLog::At(std::uint64_t offset) const {
  const std::size_t up_to = CountUpTo(offset);
  if (up_to == 0 || messages()[up_to - 1]->position().offset != offset) return nullptr;
  return messages()[up_to - 1].get();
}

void TopicLog::ExtendBack(std::vector<MessagePtr> older, const Position& before) {
  const std::size_t room = max_messages_ - std::min(max_messages_, messages().size());
  const std::size_t skip = older.size() - std::min(room, older.size());
  before_oldest_ = skip == 0 ? before : older[skip - 1]->position();
  older.erase(older.begin(), older.begin() + static_cast<std::ptrdiff_t>(skip));
  for (const MessagePtr& message : older) bytes_ += message->size_bytes();
  older.insert(older.end(), messages().begin(), messages().end());
  messages_ = std::move(older);
  popped_ = 0;
}

TopicLog::Missed TopicLog::After(const Position& since, absl::Time now, bool trusted) {
  Expire(now);
  Missed missed;
  if (since.epoch != current_.epoch) {
    missed.reason = NotRecovered::kEpoch;
    return missed;
  }
  if (since.offset > current_.offset) {
    missed.reason = NotRecovered::kRollback;
    return missed;
  }
  if (since.offset < before_oldest_.offset) {
    missed.reason = NotRecovered::kExpired;
    return missed;
  }
  const std::size_t skip = CountUpTo(since.offset);
  const Position& at = skip == 0 ? before_oldest_ : messages()[skip - 1]->position();
  if (!trusted && since != at) {
    missed.reason = NotRecovered::kRollback;
    return missed;
  }
  const auto behind = messages().subspan(skip);
  std::copy_if(behind.begin(), behind.end(), std::back_inserter(missed.messages),
               [now_ms = absl::ToUnixMillis(now)](const MessagePtr& message) {
                 return Lives(message, now_ms);
               });
  return missed;
}

std::vector<MessagePtr> TopicLog::Read(std::optional<Position> since, std::size_t limit,
                                       bool reverse, absl::Time now) {
  Expire(now);
  std::size_t skip = 0;
  if (since && since->epoch == current_.epoch) skip = CountUpTo(since->offset);
  std::vector<MessagePtr> read;
  const auto behind = messages().subspan(skip);
  std::copy_if(
      behind.begin(), behind.end(), std::back_inserter(read),
      [now_ms = absl::ToUnixMillis(now)](const auto& message) { return Lives(message, now_ms); });
  if (reverse) std::reverse(read.begin(), read.end());
  if (read.size() > limit) read.resize(limit);
  return read;
}

void TopicLog::Expire(absl::Time now) {
  const std::int64_t oldest_ms = absl::ToUnixMillis(now - max_age_);
  while (!empty() && messages().front()->body().accepted_unix_ms < oldest_ms) PopOldest();
}

void TopicLog::PopOldest() {
  MessagePtr& oldest = messages_[popped_++];
  before_oldest_ = oldest->position();
  bytes_ -= oldest->size_bytes();
  oldest = nullptr;
  if (empty()) {
    std::vector<MessagePtr>().swap(messages_);
    popped_ = 0;
  } else if (2 * popped_ >= messages_.size()) {
    messages_.erase(messages_.begin(), messages_.begin() + static_cast<std::ptrdiff_t>(popped_));
    popped_ = 0;
  }
}

}  // namespace herald
