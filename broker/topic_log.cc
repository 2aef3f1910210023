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

Position TopicLog::Next() const { return {current_.epoch, current_.offset + 1, RandomUint64()}; }

void TopicLog::Append(MessagePtr message, absl::Time now) {
  last_used_ = now;
  current_ = message->position();
  bytes_ += message->size_bytes();
  messages_.push_back(std::move(message));
  while (messages().size() > max_messages_) PopOldest();
  Expire(now);
}

TopicLog::Missed TopicLog::After(const Position& since, absl::Time now) {
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
  const std::size_t skip = since.offset - before_oldest_.offset;
  const std::uint64_t fence =
      skip == 0 ? before_oldest_.fence : messages()[skip - 1]->position().fence;
  if (since.fence != fence) {
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
  if (since && since->epoch == current_.epoch && since->offset > before_oldest_.offset) {
    skip = std::min<std::size_t>(since->offset - before_oldest_.offset, messages().size());
  }
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
