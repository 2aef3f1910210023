#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "herald/v1/client_protocol.pb.h"
#include "session/frame.h"
#include "session/labels.h"
#include "session/message.h"

namespace herald {

// How many entries the lists and maps of one client frame may have. A decoder stops at the first
// entry past a limit, so that what a frame costs does not depend on what it holds.
struct ClientFrameLimits {
  // Of `resume` and `ack`: as many topics as a session may be on, reserved ones included.
  std::size_t max_topics = 130;
  std::size_t max_labels = kMaxLabels;
};

// Translates between a subprotocol's data frames and the messages of client_protocol.proto.
// Stateless, any thread.
class Codec : public MessageEncoder {
 public:
  // What the data frames of this subprotocol are.
  virtual Opcode opcode() const = 0;

  // One data frame of a client. kInvalidArgument says what is wrong with it (close 4400), also if
  // it is over one of the limits.
  virtual absl::Status Decode(std::string_view data, const ClientFrameLimits& limits,
                              v1::ClientFrame& frame) const = 0;
  // Anything but messages, with its WebSocket header.
  virtual FramePtr EncodeFrame(const v1::ServerFrame& frame) const = 0;
};

// `herald.v1.json` and `herald.v1.proto`.
const Codec& JsonCodec();
const Codec& ProtoCodec();

// Raw sessions: a data frame is just the payload, text if it is UTF-8. There is nothing else to
// encode.
const MessageEncoder& RawEncoder();

// For the shards. `compressor` may be null.
Encoders AllEncoders(const FrameCompressor* compressor = nullptr);

}  // namespace herald
