#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace herald {

// What a frame between nodes is. The letters are those on the wire; a receiver ignores others.
enum class FrameKind : char {
  kQuestion = 'Q',   // `word` is the method
  kAnswer = 'A',     // to the question of that id
  kError = 'E',      // the same; `word` is the code, `body` the text
  kTell = 'T',       // `word` is the method
  kHeartbeat = 'H',  // `word` is the number of sessions
  kNew = 'N',        // here I am; the others send a heartbeat
  kBye = 'B',
  kWho = 'W',    // is this name taken? `word` is the sender's own; says nothing of its being here
  kItsMe = 'Y',  // the answer to that
  kEcho = 'O',   // from this node to itself (Cluster::Barrier)
  kPart = 'P',   // of the frame `id`; `word` is "last" in the last, `body` its bytes
};

// What one node sends to another: a line of text, then the body.
//
//   h1 <kind> <from> <incarnation, hex> <id> <word>\n<body>
//
// `h1` is the version; a frame of another is ignored.
struct ClusterFrame {
  FrameKind kind;
  std::string from;
  std::uint64_t incarnation = 0;  // grows from one start of the node to the next
  std::uint64_t id = 0;
  std::string word;
  std::string body;

  std::string Encode() const;
  // None if it is not one of ours.
  static std::optional<ClusterFrame> Decode(std::string bytes);
};

}  // namespace herald
