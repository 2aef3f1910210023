#include "session/session_id.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "session/hex.h"
#include "session/random.h"

namespace herald {
namespace {

// As the setting `node_name` has it. Clients say ids, and the node becomes part of a subject of NATS.
bool IsNodeName(std::string_view text) {
  return !text.empty() && text.size() <= 63 &&
         std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return absl::ascii_isalnum(c) || c == '-'; });
}

}  // namespace

SessionId SessionId::New(std::uint8_t shard) { return {RandomUint64(), RandomUint64(), shard}; }

std::string SessionId::ToString(std::string_view node) const {
  std::string text;
  text.reserve(node.size() + 36);
  text.append(node).push_back('-');
  AppendHex(shard, text, 2);
  text.push_back('-');
  AppendHex(high, text);
  AppendHex(low, text);
  return text;
}

absl::StatusOr<ParsedSessionId> ParseSessionId(std::string_view text) {
  constexpr std::size_t kTail = 36;  // "-ss-" and 32 digits
  const auto bad = [] {
    return absl::InvalidArgumentError(
        "session_id does not have the form <node>-<shard>-<32 hex digits>");
  };
  if (text.size() <= kTail) return bad();
  std::string_view tail = text.substr(text.size() - kTail);
  if (tail[0] != '-' || tail[3] != '-') return bad();
  auto shard = ParseHex(tail.substr(1, 2));
  auto high = ParseHex(tail.substr(4, 16));
  auto low = ParseHex(tail.substr(20, 16));
  const std::string_view node = text.substr(0, text.size() - kTail);
  if (!shard || !high || !low || !IsNodeName(node)) return bad();
  return ParsedSessionId{node, {*high, *low, static_cast<std::uint8_t>(*shard)}};
}

}  // namespace herald
