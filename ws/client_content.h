#pragma once

#include "herald/v1/client_protocol.pb.h"
#include "session/message.h"

namespace herald {

// What a `publish` or `message` frame carries, not checked yet. Without content it is empty text.
template <typename Frame>
MessageBody ContentOf(const Frame& frame) {
  MessageBody body;
  body.event = frame.event();
  switch (frame.content_case()) {
    case Frame::kData:
      body.payload = frame.data();
      body.content_type = "application/json";
      break;
    case Frame::kText:
      body.payload = frame.text();
      body.content_type = "text/plain";
      break;
    case Frame::kBytes:
      body.payload = frame.bytes();
      body.content_type = "application/octet-stream";
      break;
    case Frame::CONTENT_NOT_SET:
      body.content_type = "text/plain";
      break;
  }
  return body;
}

}  // namespace herald
