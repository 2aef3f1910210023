#include "broker/nats_denied.h"

#include <utility>

#include "absl/strings/ascii.h"

namespace herald {

std::optional<std::string> NatsDenied::SubjectOf(std::string_view error) {
  // Servers and client libraries write it in different cases.
  const std::string lower = absl::AsciiStrToLower(absl::string_view(error.data(), error.size()));
  constexpr std::string_view kBegin = "permissions violation for publish to \"";
  const std::size_t begin = lower.find(kBegin);
  if (begin == std::string::npos) return std::nullopt;
  const std::size_t subject = begin + kBegin.size();
  return std::string(error.substr(subject, error.find('"', subject) - subject));
}

void NatsDenied::Add(std::string subject) {
  MutexLock lock(mutex_);
  if (subjects_.size() < kMaxSubjects) subjects_.insert(std::move(subject));
  any_.store(true, std::memory_order_relaxed);
}

bool NatsDenied::Contains(std::string_view subject) const {
  if (!any_.load(std::memory_order_relaxed)) return false;
  MutexLock lock(mutex_);
  return subjects_.contains(std::string(subject));
}

void NatsDenied::Clear() {
  MutexLock lock(mutex_);
  subjects_.clear();
  any_.store(false, std::memory_order_relaxed);
}

}  // namespace herald
