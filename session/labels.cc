#include "session/labels.h"

#include <fmt/format.h>

#include <algorithm>

namespace herald {
namespace {

bool IsValueCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

bool IsKeyCharacter(char c) { return IsValueCharacter(c) || c == '/'; }

// Input for a message: cut, and with nothing in it that could break a log line.
std::string Quote(std::string_view text) {
  constexpr std::size_t kMaxShown = 64;
  std::string out = "'";
  for (char c : text.substr(0, kMaxShown)) {
    if (c >= 0x20 && c < 0x7f) {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  out += text.size() > kMaxShown ? "...'" : "'";
  return out;
}

auto LowerBound(auto& entries, std::string_view key) {
  return std::lower_bound(
      entries.begin(), entries.end(), key,
      [](const Labels::Entry& entry, std::string_view wanted) { return entry.first < wanted; });
}

}  // namespace

absl::Status ValidateLabelKey(std::string_view key) {
  if (key.empty()) return absl::InvalidArgumentError("label key is empty");
  if (key.size() > kMaxLabelKeyBytes) {
    return absl::InvalidArgumentError(fmt::format("label key {} has {} bytes, {} are allowed",
                                                  Quote(key), key.size(), kMaxLabelKeyBytes));
  }
  if (!std::all_of(key.begin(), key.end(), IsKeyCharacter)) {
    return absl::InvalidArgumentError(
        fmt::format("label key {} has a character outside A-Z a-z 0-9 . _ / -", Quote(key)));
  }
  return absl::OkStatus();
}

absl::Status ValidateLabelValue(std::string_view value) {
  if (value.size() > kMaxLabelValueBytes) {
    return absl::InvalidArgumentError(fmt::format("label value {} has {} bytes, {} are allowed",
                                                  Quote(value), value.size(), kMaxLabelValueBytes));
  }
  if (!std::all_of(value.begin(), value.end(), IsValueCharacter)) {
    return absl::InvalidArgumentError(
        fmt::format("label value {} has a character outside A-Z a-z 0-9 . _ -", Quote(value)));
  }
  return absl::OkStatus();
}

absl::Status ValidateLabel(std::string_view key, std::string_view value) {
  if (absl::Status status = ValidateLabelKey(key); !status.ok()) return status;
  if (absl::Status status = ValidateLabelValue(value); !status.ok()) {
    return absl::InvalidArgumentError(fmt::format(
        "label '{}': {}", key, std::string_view(status.message().data(), status.message().size())));
  }
  return absl::OkStatus();
}

std::optional<std::string_view> Labels::Get(std::string_view key) const {
  const auto it = LowerBound(entries_, key);
  if (it == entries_.end() || it->first != key) return std::nullopt;
  return it->second;
}

absl::Status Labels::Set(std::string_view key, std::string_view value) {
  if (absl::Status status = ValidateLabel(key, value); !status.ok()) return status;
  const auto it = LowerBound(entries_, key);
  if (it != entries_.end() && it->first == key) {
    it->second = value;
    return absl::OkStatus();
  }
  if (entries_.size() >= kMaxLabels) {
    return absl::ResourceExhaustedError(
        fmt::format("label '{}': a session may have {} labels", key, kMaxLabels));
  }
  entries_.emplace(it, key, value);
  return absl::OkStatus();
}

bool Labels::Erase(std::string_view key) {
  const auto it = LowerBound(entries_, key);
  if (it == entries_.end() || it->first != key) return false;
  entries_.erase(it);
  return true;
}

}  // namespace herald
