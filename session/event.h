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
  // Whose event it is, and which watchers it is for.
  enum class Scope : std::uint8_t {
    kOwn,       // of this node: for all, other nodes included
    kImported,  // of another: for this node's watchers without a group
    kOfGroup,   // of another: for this node's watchers of one group
  };
  Scope scope = Scope::kOwn;
  std::uint64_t id = 0;  // given by the EventHub
  std::string node;      // of another: its name, and the id there
  std::uint64_t node_event_id = 0;
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

  // kNodeLost
  std::string lost_node;
  std::uint64_t lost_sessions = 0;

  // What it costs to keep, in bytes.
  std::size_t size_bytes() const {
    return sizeof(Event) + session_id.size() + user_id.size() + topic.size() + payload.size() +
           remote_address.size() + user_agent.size() + labels.size() * 64;
  }
};
using EventPtr = std::shared_ptr<const Event>;

}  // namespace herald
