#include "broker/cluster_frame.h"

#include <array>
#include <charconv>

#include "fmt/format.h"
#include "session/hex.h"

namespace herald {

std::string ClusterFrame::Encode() const {
  std::string bytes =
      fmt::format("h1 {} {} {:x} {} {}\n", static_cast<char>(kind), from, incarnation, id, word);
  bytes += body;
  return bytes;
}

std::optional<ClusterFrame> ClusterFrame::Decode(std::string bytes) {
  const std::size_t end = bytes.find('\n');
  if (end == std::string::npos) return std::nullopt;
  std::string_view line = std::string_view(bytes).substr(0, end);
  std::array<std::string_view, 6> words;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::size_t space = i + 1 < words.size() ? line.find(' ') : line.size();
    if (space == std::string_view::npos || space == 0) return std::nullopt;
    words[i] = line.substr(0, space);
    line.remove_prefix(std::min(space + 1, line.size()));
  }
  const auto [version, kind, from, incarnation, id, word] = words;
  ClusterFrame frame;
  const auto parsed = ParseHex(incarnation);
  const auto number = std::from_chars(id.data(), id.data() + id.size(), frame.id);
  if (version != "h1" || kind.size() != 1 || !parsed || number.ec != std::errc() ||
      number.ptr != id.data() + id.size())
    return std::nullopt;
  frame.kind = static_cast<FrameKind>(kind[0]);
  frame.from = from;
  frame.incarnation = *parsed;
  frame.word = word;
  frame.body = bytes.substr(end + 1);
  return frame;
}

}  // namespace herald
