#pragma once

#include <string_view>

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "herald/v1/common.pb.h"
#include "herald/v1/event_service.pb.h"
#include "herald/v1/push_service.pb.h"
#include "herald/v1/session_service.pb.h"
#include "service/within_reach.h"
#include "session/event_hub.h"
#include "session/message.h"
#include "session/session_table.h"
#include "session/target.h"

namespace herald {

// Between protobuf messages and Herald's own types. Pure functions, any thread.
//
// Errors: kInvalidArgument naming the field.

inline constexpr int kMaxTargetNames = 10'000;
inline constexpr int kMaxExceptions = 1'000;

// A session id of another node is kNotFound: nobody of that name is here.
absl::StatusOr<Target> ParseTarget(const v1::Target& target, std::string_view node);
// Sets `topic` to the one that `target` means, where a user_id or a topic is set.
absl::Status ParseOneTopic(const v1::Target& target, TopicText& topic);
// The topics through which a delivery to `target` goes, one for each user or topic; none for what
// goes straight to sessions.
absl::InlinedVector<std::string, 1> TopicsOf(const Target& target);
// 1 to `max` topic names, none reserved. `field` is named in errors.
absl::StatusOr<std::vector<std::string>> ParseTopics(
    const google::protobuf::RepeatedPtrField<std::string>& topics, std::size_t max,
    std::string_view field);

// Everything but the receipt.
absl::StatusOr<DeliveryOptions> ParsePolicy(const v1::Policy& policy, absl::Time now);
v1::Receipt ToProto(const Receipt::Counts& counts, std::uint64_t seq);

// The answer of a command that failed.
void SetStatus(const absl::Status& status, v1::CommandResult& result);
absl::Status NoSuchSession();
// Why no session was met by its id: kPermissionDenied, and counted, if it is outside `within`.
absl::Status NotMet(const WithinReach* within);

// Fills `body`, which is as new, and takes the payload out of `message`.
void MoveToBody(v1::Message& message, MessageBody& body);
void SetPosition(const Position& position, std::string topic, v1::Position& to);
v1::Message ToProto(const MessageBody& body);
v1::Session ToProto(const SessionInfo& info, std::string_view node);
// Of an event that another node's ToProto made; its id there becomes `node_event_id`.
Event ToEvent(v1::Event& from);
v1::Event ToProto(const Event& event, bool redelivered, std::string_view node);
void SetTime(absl::Time time, google::protobuf::Timestamp* to);
void SetDuration(absl::Duration duration, google::protobuf::Duration* to);
absl::Duration ToDuration(const google::protobuf::Duration& duration);

}  // namespace herald
