#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "session/labels.h"

namespace herald {

enum class EventKind : std::uint8_t {
  kSessionOpened = 1,
  kSessionClosed,
  kSubscribed,
  kUnsubscribed,
  kClientMessage,
  kNodeLost,
};

// Something a client did, for the backends that watch (event_service.proto describes the fields).
struct Event {
  EventKind kind = EventKind::kSessionOpened;
  std::uint64_t id = 0;  // given by the EventHub
  absl::Time time;
  std::string session_id;
  std::string user_id;
  std::string topic;

  // kSessionOpened
  Labels labels;
  std::string remote_address;
  std::string user_agent;

  // kSessionClosed
  std::uint16_t close_code = 0;
  std::string close_reason;
  absl::Duration duration;
  std::uint64_t bytes_out = 0, bytes_in = 0, messages_out = 0, messages_in = 0;
  std::map<std::string, std::uint64_t> dropped;

  // kClientMessage
  std::string event;
  std::string payload;
  std::string content_type;

  // What it costs to keep, in bytes.
  std::size_t size_bytes() const {
    return sizeof(Event) + session_id.size() + user_id.size() + topic.size() + payload.size() +
           remote_address.size() + user_agent.size() + labels.size() * 64;
  }
};
using EventPtr = std::shared_ptr<const Event>;

}  // namespace herald
