#include "broker/nats_subjects.h"

#include "absl/strings/ascii.h"
#include "fmt/format.h"

namespace herald {
namespace {

constexpr std::string_view kAdvisory = "$JS.EVENT.ADVISORY.STREAM.";

bool Plain(unsigned char c) {
  return c > 0x20 && c < 0x7f && c != '.' && c != '*' && c != '>' && c != '%';
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

}  // namespace

std::string ToToken(std::string_view topic) {
  std::string token;
  token.reserve(topic.size());
  for (const char c : topic) {
    const auto byte = static_cast<unsigned char>(c);
    if (Plain(byte)) {
      token += c;
    } else {
      fmt::format_to(std::back_inserter(token), "%{:02X}", byte);
    }
  }
  return token;
}

std::optional<std::string> FromToken(std::string_view token) {
  std::string topic;
  topic.reserve(token.size());
  for (std::size_t i = 0; i < token.size(); ++i) {
    if (token[i] != '%') {
      if (!Plain(static_cast<unsigned char>(token[i]))) return std::nullopt;
      topic += token[i];
      continue;
    }
    if (i + 2 >= token.size()) return std::nullopt;
    const int high = HexDigit(token[i + 1]), low = HexDigit(token[i + 2]);
    if (high < 0 || low < 0 || Plain(static_cast<unsigned char>(high * 16 + low)))
      return std::nullopt;
    topic += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return topic;
}

int NatsSubjects::PartitionOf(std::string_view topic) const {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : topic) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return static_cast<int>(hash % static_cast<std::uint64_t>(partitions_));
}

std::string NatsSubjects::Stored(int partition, std::string_view topic) const {
  return fmt::format("{}.h.{}.{}", prefix_, partition, ToToken(topic));
}

std::string NatsSubjects::StoredPattern(int partition) const {
  return fmt::format("{}.h.{}.*", prefix_, partition);
}

std::string NatsSubjects::LivePattern() const {
  return fmt::format("{}.l.{{{{wildcard(1)}}}}", prefix_);
}

std::string NatsSubjects::Live(std::string_view topic) const {
  return fmt::format("{}.l.{}", prefix_, ToToken(topic));
}

std::optional<std::string> NatsSubjects::TopicOfLive(std::string_view subject) const {
  if (!subject.starts_with(prefix_)) return std::nullopt;
  subject.remove_prefix(prefix_.size());
  if (!subject.starts_with(".l.")) return std::nullopt;
  return FromToken(subject.substr(3));
}

std::string NatsSubjects::Stream(int partition) const {
  return fmt::format("{}_{}", absl::AsciiStrToUpper(prefix_), partition);
}

std::string NatsSubjects::Doubt(int partition) const {
  return fmt::format("{}.d.{}", prefix_, partition);
}

std::string NatsSubjects::Advisories(int partition) const {
  return fmt::format("{}*.{}", kAdvisory, Stream(partition));
}

std::optional<int> NatsSubjects::PartitionOfAdvisory(std::string_view subject) const {
  if (!subject.starts_with(kAdvisory)) return std::nullopt;
  for (int i = 0; i < partitions_; ++i) {
    if (subject.substr(subject.rfind('.') + 1) == Stream(i)) return i;
  }
  return std::nullopt;
}

std::optional<int> NatsSubjects::PartitionOfDoubt(std::string_view subject) const {
  for (int i = 0; i < partitions_; ++i) {
    if (subject == Doubt(i)) return i;
  }
  return std::nullopt;
}

}  // namespace herald
